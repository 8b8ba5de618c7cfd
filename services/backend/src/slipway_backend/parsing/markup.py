"""HTML to blocks; DOCX and Markdown take this way too, after becoming HTML."""

from __future__ import annotations

import re

from lxml import etree  # type: ignore[import-untyped]

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import CELL_SEPARATOR, Block

MAX_NESTING = 10_000
_PIECE_BYTES = 64 * 1024
_SPACE = re.compile(r"\s+")
_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "head", "nav", "iframe"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = frozenset({"th", "td"})
# fmt: off
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "header", "hr", "html", "li", "main",
    "ol", "p", "pre", "section", "summary", "table", "ul",
}) | frozenset(_HEADINGS)
# fmt: on


def blocks_of_html(html: str) -> list[Block]:
    """Return headings, paragraphs, tables and code in reading order.

    Raises DocumentError when elements are nested deeper than ``MAX_NESTING``.
    """
    page = _Page()
    # One event after the other: no tree is built, however many elements there are.
    parser = etree.HTMLParser(target=page, encoding="utf-8")
    data = html.replace("\0", "").encode("utf-8", errors="replace")
    if data:
        for start in range(0, len(data), _PIECE_BYTES):
            parser.feed(data[start : start + _PIECE_BYTES])
        parser.close()
    blocks, title = page.blocks, _clean("".join(page.title))
    if title and not any(block.kind == "heading" and block.level == 1 for block in blocks):
        blocks.insert(0, Block("heading", title, level=1))
    return blocks


class _Page:
    """Takes the events of a parser that ends every element it began, also what the page forgot.

    ``_dropped`` and ``_collected`` hold the element whose whole content is left out or becomes one
    piece (a heading, code, a table's cell), and its depth; ``_table`` the outermost table's depth.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.title: list[str] = []
        self._text: list[str] = []
        self._depth = 0
        self._dropped = ("", 0)
        self._around_title = ("", 0)
        self._collected = ("", 0)
        self._table = 0
        self._rows: list[list[str]] = []

    def start(self, tag: str, _: object) -> None:
        """Begin an element."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise DocumentError(f"The page nests elements deeper than {MAX_NESTING} levels.")
        place = (tag, self._depth)
        if tag == "title" and self._dropped[0] in ("", "head") and not self.title:
            self._around_title, self._dropped = self._dropped, place
        elif self._dropped[0]:
            return
        elif tag in _DROPPED:
            self._dropped = place
        elif self._collected[0]:
            self._separate(tag)
        elif tag in _HEADINGS or tag == "pre" or (self._table and tag in _CELLS):
            self._flush()
            self._collected = place
        elif self._table and tag == "tr":
            self._rows.append([])
        elif tag in _BLOCKS:
            self._flush()
            self._table = self._table or (self._depth if tag == "table" else 0)
        elif tag == "br":
            self._text.append(" ")

    def data(self, text: str) -> None:
        """Take text, which comes in pieces."""
        if self._dropped[0] == "title":
            self.title.append(text)
        elif not self._dropped[0]:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """End the newest element."""
        place = (tag, self._depth)
        self._depth -= 1
        if self._dropped[0]:
            if place == self._dropped:
                self._dropped = self._around_title if tag == "title" else ("", 0)
        elif place == self._collected:
            self._collected = ("", 0)
            self._finish(tag)
        elif self._collected[0]:
            self._separate("")
        elif tag in _BLOCKS:
            self._flush()
            if self._table == place[1]:
                self._finish_table()

    def close(self) -> None:
        """End the page."""
        self._flush()

    def _separate(self, tag: str) -> None:
        if self._collected[0] != "pre":
            self._text.append(" ")
        elif tag == "br":
            self._text.append("\n")

    def _take(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        return text

    def _flush(self) -> None:
        if self._text and (text := _clean(self._take())):
            self.blocks.append(Block("text", text))

    def _finish(self, tag: str) -> None:
        text = self._take()
        if tag in _CELLS:
            self._rows = self._rows or [[]]
            self._rows[-1].append(_clean(text))
        elif tag == "pre":
            if text.strip():
                self.blocks.append(Block("code", text.strip("\n")))
        elif text := _clean(text):
            self.blocks.append(Block("heading", text, level=_HEADINGS[tag]))

    def _finish_table(self) -> None:
        rows = [CELL_SEPARATOR.join(cells) for cells in self._rows if any(cells)]
        if rows:
            self.blocks.append(Block("table", "\n".join(rows)))
        self._table = 0
        self._rows = []


def _clean(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
