"""Small workbooks as spreadsheet programs save them, for tests of what is read from them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import xlsxwriter  # type: ignore[import-untyped]

Sheets = Mapping[str, Sequence[Sequence[str | float]]]

_SECTOR = 512
# Shorter streams stand elsewhere in a compound file (MS-CFB 2.3).
_SHORTEST_STREAM = 4096
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_GLOBALS, _WORKSHEET = 0x0005, 0x0010
_ODS = "application/vnd.oasis.opendocument.spreadsheet"


def xlsx(sheets: Sheets) -> bytes:
    """The sheets as XLSX (Excel since 2007)."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as made:
        for name, rows in sheets.items():
            sheet = made.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return stream.getvalue()


def ods(sheets: Sheets) -> bytes:
    """The sheets as OpenDocument (LibreOffice)."""
    names = "urn:oasis:names:tc:opendocument:xmlns"
    tables = "".join(
        f'<table:table table:name="{escape(name)}">{"".join(map(_ods_row, rows))}</table:table>'
        for name, rows in sheets.items()
    )
    content = (
        f'<?xml version="1.0"?><office:document-content xmlns:office="{names}:office:1.0"'
        f' xmlns:table="{names}:table:1.0" xmlns:text="{names}:text:1.0"><office:body>'
        f"<office:spreadsheet>{tables}</office:spreadsheet></office:body>"
        "</office:document-content>"
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("mimetype", _ODS)
        made.writestr("content.xml", content)
        made.writestr(
            "META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{names}:manifest:1.0"/>'
        )
    return stream.getvalue()


def _ods_row(row: Sequence[str | float]) -> str:
    cells = (
        (
            f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p>'
            if isinstance(value, str)
            else f'<table:table-cell office:value-type="float" office:value="{value}">'
        )
        + "</table:table-cell>"
        for value in row
    )
    return f'<table:table-row>{"".join(cells)}</table:table-row>'


def xls(sheets: Sheets) -> bytes:
    """The sheets as XLS (Excel 97 to 2003): BIFF8 records (MS-XLS) in a compound file."""
    bodies = [_xls_sheet(rows) for rows in sheets.values()]
    # The places of the sheets do not change the length of what stands before them.
    head = len(_xls_globals(sheets, [0] * len(bodies)))
    places = [head + sum(map(len, bodies[:number])) for number in range(len(bodies))]
    return _compound("Workbook", _xls_globals(sheets, places) + b"".join(bodies))


def xlsb(sheets: Sheets) -> bytes:
    """The sheets as XLSB (Excel since 2007, binary): BIFF12 records (MS-XLSB) in an archive."""
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    entries = b"".join(
        _binary(156, struct.pack("<II", 0, number) + _wide(f"rId{number}") + _wide(name))
        for number, name in enumerate(sheets, 1)
    )
    parts = "".join(
        f'<Relationship Id="rId{number}" Type="{relations}/worksheet"'
        f' Target="worksheets/sheet{number}.bin"/>'
        for number in range(1, len(sheets) + 1)
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        # Workbook and list of sheets begin (131, 143) and end (144, 132).
        listed = _binary(131) + _binary(143) + entries + _binary(144) + _binary(132)
        made.writestr("xl/workbook.bin", listed)
        made.writestr(
            "xl/_rels/workbook.bin.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f"{parts}</Relationships>",
        )
        for number, rows in enumerate(sheets.values(), 1):
            made.writestr(f"xl/worksheets/sheet{number}.bin", _xlsb_sheet(rows))
    return stream.getvalue()


def _xlsb_sheet(rows: Sequence[Sequence[str | float]]) -> bytes:
    cells = b""
    for number, row in enumerate(rows):
        cells += _binary(0, struct.pack("<I13x", number))
        for column, value in enumerate(row):
            place = struct.pack("<II", column, 0)
            if isinstance(value, str):
                cells += _binary(6, place + _wide(value))
            else:
                cells += _binary(5, place + struct.pack("<d", value))
    width = max(map(len, rows), default=1)
    last = struct.pack("<IIII", 0, max(len(rows), 1) - 1, 0, width - 1)
    # Sheet (129 to 130), the rectangle of its cells (148), their rows (145 to 146).
    return _binary(129) + _binary(148, last) + _binary(145) + cells + _binary(146) + _binary(130)


def _binary(kind: int, content: bytes = b"") -> bytes:
    """A record of BIFF12: kind and length take seven bits of each byte (MS-XLSB 2.1.4)."""
    return _sevens(kind) + _sevens(len(content)) + content


def _sevens(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _sevens(number >> 7)


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _xls_globals(sheets: Sheets, places: Sequence[int]) -> bytes:
    entries = b"".join(
        _record(0x0085, struct.pack("<IBB", place, 0, 0) + _short_string(name))
        for name, place in zip(sheets, places, strict=True)
    )
    return _begin(_GLOBALS) + _record(0x0042, struct.pack("<H", 1200)) + entries + _record(0x000A)


def _xls_sheet(rows: Sequence[Sequence[str | float]]) -> bytes:
    cells = b""
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            place = struct.pack("<HHH", number, column, 0)
            if isinstance(value, str):
                text = struct.pack("<HB", len(value), 1) + value.encode("utf-16-le")
                cells += _record(0x0204, place + text)
            else:
                cells += _record(0x0203, place + struct.pack("<d", value))
    return _begin(_WORKSHEET) + cells + _record(0x000A)


def _begin(kind: int) -> bytes:
    return _record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0, 1997, 0, 0x0600))


def _record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _short_string(text: str) -> bytes:
    return struct.pack("<BB", len(text), 1) + text.encode("utf-16-le")


def _compound(name: str, stream: bytes) -> bytes:
    """A compound file (MS-CFB, version 3) with one stream, of at most 126 sectors."""
    stream = stream.ljust(_SHORTEST_STREAM, b"\0")
    stream += bytes(-len(stream) % _SECTOR)
    sectors = len(stream) // _SECTOR
    # Sector 0 tells what follows what, sector 1 is the directory, the stream is the rest.
    chain = [_FAT, _END, *range(3, 2 + sectors), _END]
    follows = struct.pack("<128I", *chain, *[_FREE] * (128 - len(chain)))
    directory = (
        _entry("Root Entry", 5, child=1, start=_END)
        + _entry(name, 2, start=2, size=len(stream))
        + 2 * _entry("", 0)
    )
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + struct.pack("<HHHHH6x", 0x003E, 3, 0xFFFE, 9, 6)
        + struct.pack("<IIIIIIIII", 0, 1, 1, 0, _SHORTEST_STREAM, _END, 0, _END, 0)
        + struct.pack("<109I", 0, *[_FREE] * 108)
    )
    return header + follows + directory + stream


def _entry(name: str, kind: int, *, child: int = _FREE, start: int = 0, size: int = 0) -> bytes:
    written = name.encode("utf-16-le")
    return (
        written.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(written) + 2 if name else 0, kind, 1, _FREE, _FREE, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )
