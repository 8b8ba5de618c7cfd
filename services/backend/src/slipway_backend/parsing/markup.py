"""HTML to blocks (DOCX and Markdown take this way too, after becoming HTML), and plain text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from bs4 import BeautifulSoup
from bs4.element import Comment, NavigableString, PreformattedString, Tag
from charset_normalizer import from_bytes

from slipway_backend.parsing import CELL_SEPARATOR, Block

_PARAGRAPH = re.compile(r"\n\s*\n")
_DECLARED = re.compile(rb"""charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_WIDE = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
_SAMPLE_BYTES = 256 * 1024
_SPACE = re.compile(r"\s+")
_DROPPED = ("script", "style", "noscript", "template", "svg", "head", "nav", "iframe")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# fmt: off
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "header", "hr", "html", "li", "main",
    "ol", "p", "pre", "section", "summary", "table", "ul",
}) | frozenset(_HEADINGS)
# fmt: on


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
    guess = from_bytes(data[:_SAMPLE_BYTES]).best()
    return guess.encoding if guess else "latin-1"


def blocks_of_text(text: str) -> list[Block]:
    """Return paragraphs; blank lines separate them."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    paragraphs = (" ".join(part.split()) for part in _PARAGRAPH.split(unified))
    return [Block("text", part) for part in paragraphs if part]


def blocks_of_html(html: str) -> list[Block]:
    """Return headings, paragraphs, tables and code in reading order."""
    soup = BeautifulSoup(html, "lxml")
    title = _clean(soup.title.get_text()) if soup.title else ""
    for tag in soup.find_all(_DROPPED):
        tag.decompose()
    blocks = list(_walk(soup))
    if title and not any(block.kind == "heading" and block.level == 1 for block in blocks):
        blocks.insert(0, Block("heading", title, level=1))
    return blocks


def _walk(parent: Tag) -> Iterator[Block]:
    inline: list[str] = []

    def flush() -> Iterator[Block]:
        text = _clean("".join(inline))
        inline.clear()
        if text:
            yield Block("text", text)

    for child in parent.children:
        if isinstance(child, NavigableString):
            if not isinstance(child, (Comment, PreformattedString)):
                inline.append(str(child))
            continue
        if not isinstance(child, Tag):
            continue
        if child.name == "br":
            inline.append(" ")
        elif child.name not in _BLOCKS and not child.find(list(_BLOCKS)):
            inline.append(child.get_text())
        else:
            yield from flush()
            yield from _block(child)
    yield from flush()


def _block(tag: Tag) -> Iterator[Block]:
    if tag.name in _HEADINGS:
        text = _clean(tag.get_text(" "))
        if text:
            yield Block("heading", text, level=_HEADINGS[tag.name])
    elif tag.name == "pre":
        text = tag.get_text().strip("\n")
        if text.strip():
            yield Block("code", text)
    elif tag.name == "table":
        rows = []
        for row in tag.find_all("tr"):
            cells = [_clean(cell.get_text(" ")) for cell in row.find_all(("th", "td"))]
            if any(cells):
                rows.append(CELL_SEPARATOR.join(cells))
        if rows:
            yield Block("table", "\n".join(rows))
    else:
        yield from _walk(tag)


def _clean(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
