"""From a stored file to its blocks: one reader per format, chosen by the content.

A reader imports its own library, which `spawner` has loaded before it forks a parser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits, Parsed, formats
from slipway_backend.parsing.budget import Budget
from slipway_backend.parsing.containers import read_email, read_zip
from slipway_backend.parsing.markup import blocks_of_html
from slipway_backend.parsing.pdf import read_pdf
from slipway_backend.parsing.slides import read_pptx
from slipway_backend.parsing.tables import read_csv, read_workbook
from slipway_backend.parsing.text import blocks_of_text, read_text


def read_docx(stream: BinaryIO, _: Budget) -> Parsed:
    """Read a Word document by its styles: headings, paragraphs, lists and tables."""
    import mammoth  # noqa: PLC0415

    # Pictures would travel as base64 text; nothing here looks at them.
    html = mammoth.convert_to_html(
        stream, convert_image=mammoth.images.img_element(lambda _: {})
    ).value
    return Parsed(formats.DOCX, blocks_of_html(html))


def read_html(stream: BinaryIO, _: Budget) -> Parsed:
    """Read a web page without its scripts, styles and navigation."""
    return Parsed(formats.HTML, blocks_of_html(read_text(stream)))


def read_markdown(stream: BinaryIO, _: Budget) -> Parsed:
    """Read Markdown (CommonMark with tables)."""
    from markdown_it import MarkdownIt  # noqa: PLC0415

    html = MarkdownIt("commonmark").enable("table").render(read_text(stream))
    return Parsed(formats.MARKDOWN, blocks_of_html(html))


def read_plain(stream: BinaryIO, _: Budget) -> Parsed:
    """Read plain text; blank lines separate paragraphs."""
    text = read_text(stream)
    controls = sum(1 for sign in text[:10_000] if ord(sign) < 32 and sign not in "\t\n\r\f")
    if controls * 20 > min(len(text), 10_000):
        raise DocumentError("The content is not readable text.")
    return Parsed(formats.TEXT, blocks_of_text(text))


READERS: dict[str, Callable[[BinaryIO, Budget], Parsed]] = {
    formats.PDF: read_pdf,
    formats.DOCX: read_docx,
    formats.PPTX: read_pptx,
    formats.HTML: read_html,
    formats.MARKDOWN: read_markdown,
    formats.CSV: read_csv,
    formats.TEXT: read_plain,
    **{
        media_type: partial(read_workbook, media_type=media_type)
        for media_type in (formats.XLSX, formats.XLSB, formats.XLS, formats.ODS)
    },
}
CONTAINERS = {formats.ZIP: read_zip, formats.EMAIL: read_email}


def read(path: Path, filename: str, limits: Limits) -> Parsed:
    """Detect the format and read the file.

    Raises DocumentError when it cannot be read, holds no text, or holds more than is accepted.
    """
    with path.open("rb") as stream:
        return read_stream(stream, filename, Budget(limits))


def read_stream(stream: BinaryIO, filename: str, budget: Budget) -> Parsed:
    """Read a file or a member of one; every limit counts over the whole upload."""
    media_type = formats.detect(stream, filename, budget)
    stream.seek(0)
    if media_type in CONTAINERS:
        parsed = CONTAINERS[media_type](stream, budget, read_stream)
    else:
        parsed = READERS[media_type](stream, budget)
        budget.add_text(parsed.blocks)
    parsed = replace(parsed, blocks=[_storable(block) for block in parsed.blocks])
    if not any(block.kind != "heading" and block.text.strip() for block in parsed.blocks):
        pictures = media_type == formats.PDF
        reason = "pages are pictures, which need" if pictures else "it is empty or needs"
        raise DocumentError(f"No text was found in the document: {reason} text recognition first.")
    return parsed


def _storable(block: Block) -> Block:
    """The block without NULs and halves of surrogate pairs, which no database takes."""
    text = block.text
    if "\0" not in text and not _has_surrogates(text):
        return block
    return replace(block, text=text.replace("\0", "").encode("utf-8", "replace").decode())


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
