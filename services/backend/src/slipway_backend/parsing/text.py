"""Text files: how their bytes become characters, and characters paragraphs."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from slipway_backend.parsing import Block

_PARAGRAPH = re.compile(r"\n\s*\n")
_DECLARED = re.compile(rb"""charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_WIDE = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
_SAMPLE_BYTES = 256 * 1024


def read_text(stream: BinaryIO) -> str:
    """Decode a text file: by its byte-order mark, as UTF-8, as declared, or by the best guess."""
    data = stream.read()
    for mark, encoding in _WIDE:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(_declared(data) or _guessed(data), errors="replace")


def _declared(data: bytes) -> str | None:
    """The charset that a web page names, if it is one in which ASCII is ASCII."""
    found = _DECLARED.search(data[:2048])
    try:
        codec = codecs.lookup(found[1].decode("ascii")) if found else None
        # Escaping charsets such as UTF-7 hide text from whoever reads the bytes.
        plain = codec is not None and "<a>".encode(codec.name) == b"<a>"
    except (LookupError, UnicodeError, ValueError, TypeError):
        return None
    return codec.name if codec and plain and codec.name not in ("utf-7", "utf-8") else None


def _guessed(data: bytes) -> str:
    # Half of what reading a text of known encoding would import.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    guess = from_bytes(data[:_SAMPLE_BYTES]).best()
    return guess.encoding if guess else "latin-1"


def blocks_of_text(text: str) -> list[Block]:
    """Return paragraphs; blank lines separate them."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    paragraphs = (" ".join(part.split()) for part in _PARAGRAPH.split(unified))
    return [Block("text", part) for part in paragraphs if part]
