"""One reader per format. Each returns blocks or raises DocumentError with one sentence.

A reader imports its own library: the process that parses one document starts anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits, Parsed, formats
from slipway_backend.parsing.markup import blocks_of_html, read_text

_PARAGRAPH = re.compile(r"\n\s*\n")
_HYPHEN = re.compile(r"(\w)[\u00ad\ufffe\u0002]\s*\n?\s*(\w)")


def read_pdf(path: Path, limits: Limits) -> Parsed:
    """Read a PDF page by page, so that every passage knows its page."""
    import pypdfium2  # noqa: PLC0415

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise DocumentError(
                "The PDF is encrypted: remove the password and upload it again."
            ) from None
        raise DocumentError("The PDF is damaged and cannot be opened.") from None
    pages = len(document)
    if pages > limits.pages:
        raise DocumentError(f"The PDF has {pages} pages, more than the {limits.pages} accepted.")
    blocks: list[Block] = []
    for number in range(pages):
        page = document[number]
        text = page.get_textpage().get_text_bounded()
        page.close()
        text = _HYPHEN.sub(r"\1\2", text.replace("\r\n", "\n").replace("\r", "\n"))
        blocks.extend(_page_blocks(text, number + 1))
    return Parsed(formats.PDF, blocks, pages)


def _page_blocks(text: str, page: int) -> list[Block]:
    blocks = []
    for paragraph in _PARAGRAPH.split(text):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        if lines:
            blocks.append(Block("text", "\n".join(lines), page=page))
    return blocks


def read_docx(path: Path, _: Limits) -> Parsed:
    """Read a Word document by its styles: headings, paragraphs, lists and tables."""
    import mammoth  # noqa: PLC0415

    with path.open("rb") as stream:
        # Pictures would travel as base64 text; nothing here looks at them.
        html = mammoth.convert_to_html(
            stream, convert_image=mammoth.images.img_element(lambda _: {})
        ).value
    return Parsed(formats.DOCX, blocks_of_html(html))


def read_html(path: Path, _: Limits) -> Parsed:
    """Read a web page without its scripts, styles and navigation."""
    return Parsed(formats.HTML, blocks_of_html(read_text(path)))


def read_markdown(path: Path, _: Limits) -> Parsed:
    """Read Markdown (CommonMark with tables)."""
    from markdown_it import MarkdownIt  # noqa: PLC0415

    html = MarkdownIt("commonmark").enable("table").render(read_text(path))
    return Parsed(formats.MARKDOWN, blocks_of_html(html))


def read_plain(path: Path, _: Limits) -> Parsed:
    """Read plain text; blank lines separate paragraphs."""
    text = read_text(path)
    controls = sum(1 for sign in text[:10_000] if ord(sign) < 32 and sign not in "\t\n\r\f")
    if controls * 20 > min(len(text), 10_000):
        raise DocumentError("The content is not readable text.")
    paragraphs = (" ".join(part.split()) for part in _PARAGRAPH.split(text))
    return Parsed(formats.TEXT, [Block("text", part) for part in paragraphs if part])


READERS: dict[str, Callable[[Path, Limits], Parsed]] = {
    formats.PDF: read_pdf,
    formats.DOCX: read_docx,
    formats.HTML: read_html,
    formats.MARKDOWN: read_markdown,
    formats.TEXT: read_plain,
}


def read(path: Path, filename: str, limits: Limits) -> Parsed:
    """Detect the format and read the file.

    Raises DocumentError when it cannot be read, holds no text, or holds more than is accepted.
    """
    parsed = READERS[formats.detect(path, filename, limits)](path, limits)
    characters = sum(len(block.text) for block in parsed.blocks)
    if characters > limits.text_characters:
        raise DocumentError(
            f"The document holds {characters} characters of text, more than the "
            f"{limits.text_characters} accepted: split it."
        )
    if not any(block.kind != "heading" and block.text.strip() for block in parsed.blocks):
        reason = "pages are pictures, which need" if parsed.pages else "it is empty or needs"
        raise DocumentError(f"No text was found in the document: {reason} text recognition first.")
    return parsed
