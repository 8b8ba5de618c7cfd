"""PDF files, read page by page with PDFium; the outline's entries are the headings."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Parsed, formats
from slipway_backend.parsing.budget import Budget

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_PARAGRAPH = re.compile(r"\n\s*\n")
_HYPHEN = re.compile(r"(\w)[\u00ad\ufffe\u0002]\s*(\w)")
_NUMBERING = re.compile(r"^[\W\d_]+")
MAX_OUTLINE = 10_000
TITLE_CHARACTERS = 300

Outline = dict[int, list[tuple[int, str]]]


def read_pdf(stream: BinaryIO, budget: Budget) -> Parsed:
    """Read a PDF page by page, so that every passage knows its page."""
    import pypdfium2  # noqa: PLC0415

    try:
        document = pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise DocumentError(
                "The PDF is encrypted: remove the password and upload it again."
            ) from None
        raise DocumentError("The PDF is damaged and cannot be opened.") from None
    pages = len(document)
    budget.add_pages(pages, "The PDF")
    outline = _outline(document)
    blocks: list[Block] = []
    for number in range(pages):
        page = document[number]
        text_page = page.get_textpage()
        text = text_page.get_text_bounded()
        text_page.close()
        page.close()
        text = _HYPHEN.sub(r"\1\2", text.replace("\r\n", "\n").replace("\r", "\n"))
        blocks.extend(_page(text, number + 1, outline.get(number, [])))
    return Parsed(formats.PDF, blocks, pages)


def _outline(document: PdfDocument) -> Outline:
    """The bookmarks by their page, counted from 0: (level from 1, title) in their order."""
    outline: Outline = defaultdict(list)
    for bookmark in islice(document.get_toc(max_depth=6), MAX_OUTLINE):
        title = " ".join(bookmark.get_title().split())[:TITLE_CHARACTERS]
        destination = bookmark.get_dest()
        page = destination.get_index() if destination is not None else None
        if title and page is not None:
            outline[page].append((bookmark.level + 1, title))
    return outline


def _page(text: str, page: int, titles: list[tuple[int, str]]) -> Iterator[Block]:
    """The page's paragraphs, each title in place of the line that shows it.

    A title that no line shows stands before the rest of the page.
    """
    lines = text.split("\n")
    keys = [_key(line) for line in lines] if titles else []
    start = 0
    for level, title in titles:
        key = _key(title)
        at = next((index for index in range(start, len(keys)) if key and keys[index] == key), None)
        if at is not None:
            yield from _paragraphs(lines[start:at], page)
            start = at + 1
        yield Block("heading", title, level, page)
    yield from _paragraphs(lines[start:], page)


def _key(text: str) -> str:
    """What a line and its title in the outline share: no numbering, case or spacing."""
    return "".join(_NUMBERING.sub("", text).casefold().split())


def _paragraphs(lines: list[str], page: int) -> Iterator[Block]:
    for paragraph in _PARAGRAPH.split("\n".join(lines)):
        kept = [line.strip() for line in paragraph.splitlines() if line.strip()]
        if kept:
            yield Block("text", "\n".join(kept), page=page)
