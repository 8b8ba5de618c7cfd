"""Which format a file really is, by its content; the name only breaks ties between text formats."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Limits

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
HEAD_BYTES = 4096
# Text compresses about ten to one, repetitive XML up to a hundred; bombs reach a thousand.
MAX_RATIO = 300
RATIO_MATTERS_ABOVE = 20 * 1024 * 1024
MAX_MEMBERS = 10_000

_HTML_START = re.compile(
    # A comment ends at its first end, or many of them could be divided in countless ways.
    rb"^\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)


def detect(path: Path, filename: str, limits: Limits) -> str:
    """Return the media type of a file.

    Raises DocumentError with one sentence when it is empty, encrypted, a ZIP bomb, or nothing
    that can be read as text.
    """
    size = path.stat().st_size
    if size == 0:
        raise DocumentError("The file is empty (0 bytes).")
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(OLE_MAGIC):
        raise DocumentError(
            "The file is an encrypted or old-style Office document, which cannot be read: "
            "save it without a password as DOCX or PDF."
        )
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _detect_zip(path, limits)
    suffix = Path(filename).suffix.lower()
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\x00" in head and not wide:
        raise DocumentError(
            f"The content of {filename!r} is binary and none of the readable formats "
            "(PDF, DOCX, HTML, Markdown, text)."
        )
    if _HTML_START.match(head.removeprefix(b"\xef\xbb\xbf")) or suffix in (
        ".html",
        ".htm",
        ".xhtml",
    ):
        return HTML
    if suffix in (".pdf", ".docx"):
        raise DocumentError(
            f"The file is named {suffix} but its content is not: it may be damaged or misnamed."
        )
    return MARKDOWN if suffix in (".md", ".markdown") else TEXT


def _detect_zip(path: Path, limits: Limits) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        raise DocumentError("The file is a damaged ZIP container and cannot be opened.") from None
    expanded = sum(member.file_size for member in members)
    packed = max(1, path.stat().st_size)
    too_dense = expanded > RATIO_MATTERS_ABOVE and expanded / packed > MAX_RATIO
    if expanded > limits.expanded_bytes or too_dense or len(members) > MAX_MEMBERS:
        raise DocumentError(
            f"The file unpacks from {packed} to {expanded} bytes in {len(members)} parts, which "
            "looks like a ZIP bomb; it was not unpacked."
        )
    if any(member.flag_bits & 0x1 for member in members):
        raise DocumentError("The file is encrypted: remove the password and upload it again.")
    if "word/document.xml" not in {member.filename for member in members}:
        raise DocumentError(
            "The file is a ZIP container but not a Word document; ZIP archives and other Office "
            "formats are not read yet."
        )
    return DOCX
