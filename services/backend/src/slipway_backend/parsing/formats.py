"""Which format a file really is, by its content; the name only tells text formats apart."""

from __future__ import annotations

import re
import zipfile
from pathlib import PurePosixPath
from typing import BinaryIO

from slipway_backend.errors import DocumentError
from slipway_backend.parsing.budget import Budget

_OFFICE = "application/vnd.openxmlformats-officedocument"
PDF = "application/pdf"
DOCX = f"{_OFFICE}.wordprocessingml.document"
PPTX = f"{_OFFICE}.presentationml.presentation"
XLSX = f"{_OFFICE}.spreadsheetml.sheet"
XLSB = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
XLS = "application/vnd.ms-excel"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
HTML = "text/html"
MARKDOWN = "text/markdown"
CSV = "text/csv"
TEXT = "text/plain"
EMAIL = "message/rfc822"
ZIP = "application/zip"

READABLE = "PDF, DOCX, PPTX, XLSX, XLS, ODS, HTML, Markdown, text, CSV, e-mail, ZIP of these"
HEAD_BYTES = 4096

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIN_PARTS = {
    "word/document.xml": DOCX,
    "ppt/presentation.xml": PPTX,
    "xl/workbook.xml": XLSX,
    "xl/workbook.bin": XLSB,
}
_BY_SUFFIX = {
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".csv": CSV,
    ".tsv": CSV,
}
_NEVER_TEXT = frozenset(
    {".pdf", ".docx", ".pptx", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".zip", ".doc", ".ppt"}
)
_HTML_START = re.compile(
    # A comment ends at its first end, or many of them could be divided in countless ways.
    rb"^\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_HEADER_LINE = re.compile(rb"[!-9;-~]{1,70}:[ \t]")
_EMAIL_HEADERS = (b"from:", b"date:", b"subject:", b"message-id:", b"mime-version:", b"received:")
_ENOUGH_HEADERS = 3


def detect(stream: BinaryIO, filename: str, budget: Budget) -> str:
    """Return the media type of a file.

    Raises DocumentError with one sentence when it is empty, encrypted, a ZIP bomb, or nothing
    that can be read as text.
    """
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    if not head:
        raise DocumentError("The file is empty (0 bytes).")
    if head.startswith(_OLE_MAGIC):
        return _detect_ole(stream)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        found = _detect_zip(stream, budget)
        if found == ZIP and _suffix(filename) != ".zip":
            _refuse_misnamed(filename)
        return found
    # After the containers, whose first member may be a PDF that is not packed.
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"{\\rtf"):
        raise DocumentError("Rich Text is not read: save the file as DOCX or PDF.")
    return _detect_text(head, filename)


def _suffix(filename: str) -> str:
    return PurePosixPath(filename).suffix.lower()


def _refuse_misnamed(filename: str) -> None:
    """Refuse a file whose name promises a format that was not found in it."""
    if _suffix(filename) in _NEVER_TEXT:
        raise DocumentError(
            f"The file is named {_suffix(filename)} but its content is not: "
            "it may be damaged or misnamed."
        )


def _detect_text(head: bytes, filename: str) -> str:
    suffix = _suffix(filename)
    by_suffix = _BY_SUFFIX.get(suffix)
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    # Some programs export tables with NULs between the rows; a table's name is trusted.
    if b"\x00" in head and not wide and by_suffix != CSV:
        raise DocumentError(
            f"The content of {filename!r} is binary and none of the readable formats ({READABLE})."
        )
    if _HTML_START.match(head.removeprefix(b"\xef\xbb\xbf")):
        return HTML
    if by_suffix is not None:
        return by_suffix
    _refuse_misnamed(filename)
    headers = _HEADER_LINE.match(head.removeprefix(b"\xef\xbb\xbf"))
    if suffix == ".eml" and not headers:
        raise DocumentError("The file is named .eml but does not start with an e-mail's headers.")
    if suffix == ".eml" or (headers and _looks_like_email(head)):
        return EMAIL
    return TEXT


def _looks_like_email(head: bytes) -> bool:
    lines = head.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower().split(b"\n")
    found = {name for line in lines for name in _EMAIL_HEADERS if line.startswith(name)}
    return b"from:" in found and len(found) >= _ENOUGH_HEADERS


def _detect_ole(stream: BinaryIO) -> str:
    """Tell an old workbook by the name of its main stream; all other OLE files are refused."""
    stream.seek(0)
    data = stream.read()
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise DocumentError("The file is encrypted: remove the password and upload it again.")
    if any(f"{name}\0".encode("utf-16-le") in data for name in ("Workbook", "Book")):
        return XLS
    raise DocumentError(
        "The file is an encrypted or old-style Office document or an Outlook message, which cannot "
        "be read: save it without a password as DOCX, PPTX, EML or PDF."
    )


def _detect_zip(stream: BinaryIO, budget: Budget) -> str:
    packed = stream.seek(0, 2)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            budget.unpack(packed, sum(member.file_size for member in members), len(members))
            found = next((kind for part, kind in _MAIN_PARTS.items() if part in names), None)
            if found is None and "mimetype" in names:
                found = _open_document(archive)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise DocumentError("The file is a damaged ZIP container and cannot be opened.") from None
    if found is None:
        return ZIP
    if any(member.flag_bits & 0x1 for member in members):
        raise DocumentError("The file is encrypted: remove the password and upload it again.")
    return found


def _open_document(archive: zipfile.ZipFile) -> str:
    with archive.open("mimetype") as part:
        kind = part.read(100).decode("ascii", errors="replace").strip()
    if kind != ODS:
        raise DocumentError(f"The format {kind} is not read: save the file as DOCX, PPTX or PDF.")
    return ODS
