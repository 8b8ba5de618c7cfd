"""Tables: CSV files and the workbooks of spreadsheet programs."""

from __future__ import annotations

import csv
import datetime
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import CELL_SEPARATOR, Block, Parsed, formats
from slipway_backend.parsing.budget import Budget
from slipway_backend.parsing.text import read_text

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50
_SAMPLE_CHARACTERS = 64 * 1024
# The reader holds a sheet's whole rectangle, 24 bytes a cell, however few of its cells are filled.
MAX_CELLS = 10_000_000
_CELL = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_READ_BYTES = 1 << 20


def read_csv(stream: BinaryIO, budget: Budget) -> Parsed:
    """Read a CSV file as one table; the delimiter is found, the first row is its header."""
    text = read_text(stream).replace("\0", "")
    csv.field_size_limit(max(1, budget.limits.text_characters))
    rows = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text))
    try:
        table = _table(rows)
    except csv.Error as error:
        raise DocumentError(f"The table cannot be read as CSV: {error}.") from None
    return Parsed(formats.CSV, [Block("table", table)] if table else [])


def _delimiter(text: str) -> str:
    """The delimiter that cuts most of the first rows into equally many cells."""
    sample = text[:_SAMPLE_CHARACTERS].splitlines(keepends=True)[:_SAMPLE_LINES]

    def agreement(delimiter: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in csv.reader(sample, delimiter=delimiter) if row]
        except csv.Error:
            return (0, 0)
        cut = [width for width in widths if width > 1]
        if not cut:
            return (0, 0)
        usual = max(set(cut), key=cut.count)
        return (cut.count(usual), usual)

    return max(_DELIMITERS, key=agreement)


def read_workbook(stream: BinaryIO, budget: Budget, media_type: str) -> Parsed:
    """Read a workbook: every sheet is a page under its name, its rows are one table."""
    import python_calamine  # noqa: PLC0415

    if media_type == formats.XLSX:
        _refuse_vast_sheets(stream)
    stream.seek(0)
    try:
        workbook = python_calamine.load_workbook(stream)
    except python_calamine.PasswordError:
        raise DocumentError(
            "The workbook is encrypted: remove the password and upload it again."
        ) from None
    except (python_calamine.CalamineError, OSError):
        raise DocumentError("The workbook is damaged and cannot be opened.") from None
    names = [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
    ]
    budget.add_pages(len(names), "The workbook")
    blocks: list[Block] = []
    for page, name in enumerate(names, 1):
        try:
            sheet = workbook.get_sheet_by_name(name)
        except python_calamine.CalamineError:
            raise DocumentError(f"The sheet {name!r} is damaged and cannot be read.") from None
        _refuse_vast(name, sheet.height, sheet.width)
        table = _table([_cell(value) for value in row] for row in sheet.iter_rows())
        if table:
            blocks += [Block("heading", name, 1, page), Block("table", table, page=page)]
    return Parsed(media_type, blocks, len(names))


def _refuse_vast(name: str, height: int, width: int) -> None:
    if height * width > MAX_CELLS:
        raise DocumentError(
            f"The sheet {name!r} spans {height} rows and {width} columns, more than the "
            f"{MAX_CELLS} cells accepted: split it, or clear far cells that were filled by mistake."
        )


def _refuse_vast_sheets(stream: BinaryIO) -> None:
    """Look at the cells' addresses before the reader takes memory for all cells between them."""
    with zipfile.ZipFile(stream) as archive:
        for member in archive.namelist():
            if member.startswith("xl/worksheets/") and member.endswith(".xml"):
                with archive.open(member) as part:
                    _refuse_vast(member.rpartition("/")[2], *_extent(part))


def _extent(part: IO[bytes]) -> tuple[int, int]:
    """Rows and columns of the rectangle around all cells of a sheet's XML."""
    rows: set[int] = set()
    columns: set[int] = set()
    rest = b""
    while data := part.read(_READ_BYTES):
        found = _CELL.findall(rest + data)
        rest = data[-32:]
        rows.update(map(int, {row for _, row in found}))
        columns.update(map(_column, {column for column, _ in found}))
    if not rows:
        return 0, 0
    return max(rows) - min(rows) + 1, max(columns) - min(columns) + 1


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _cell(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value)


def _table(rows: Iterable[list[str]]) -> str:
    return "\n".join(_lines(rows))


def _lines(rows: Iterable[list[str]]) -> Iterator[str]:
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield CELL_SEPARATOR.join(cells)
