"""Presentations: a slide is a page, its title the heading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from slipway_backend.parsing import CELL_SEPARATOR, Block, Parsed, formats
from slipway_backend.parsing.budget import Budget


def read_pptx(stream: BinaryIO, budget: Budget) -> Parsed:
    """Read a presentation: titles, texts, tables and the speaker's notes of every slide."""
    from pptx import Presentation  # noqa: PLC0415

    slides = Presentation(stream).slides
    budget.add_pages(len(slides), "The presentation")
    blocks: list[Block] = []
    for page, slide in enumerate(slides, 1):
        title = slide.shapes.title
        # A slide without a title must not stand under the title of the one before.
        heading = _flat(title.text_frame.text if title is not None else "") or f"Slide {page}"
        blocks.append(Block("heading", heading, 1, page))
        for shape in _shapes(slide.shapes):
            if title is None or shape.shape_id != title.shape_id:
                blocks.extend(_shape(shape, page))
        notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if notes is not None:
            blocks.extend(_paragraphs(notes, page))
    return Parsed(formats.PPTX, blocks, len(slides))


def _shapes(shapes: Any) -> Iterator[Any]:
    waiting = [iter(shapes)]
    while waiting:
        shape = next(waiting[-1], None)
        if shape is None:
            waiting.pop()
        elif hasattr(shape, "shapes"):
            waiting.append(iter(shape.shapes))
        else:
            yield shape


def _shape(shape: Any, page: int) -> Iterator[Block]:
    if shape.has_text_frame:
        yield from _paragraphs(shape.text_frame, page)
    elif getattr(shape, "has_table", False):
        rows = [[_flat(cell.text) for cell in row.cells] for row in shape.table.rows]
        lines = [CELL_SEPARATOR.join(row) for row in rows if any(row)]
        if lines:
            yield Block("table", "\n".join(lines), page=page)


def _paragraphs(frame: Any, page: int) -> Iterator[Block]:
    for paragraph in frame.paragraphs:
        text = _flat(paragraph.text)
        if text:
            yield Block("text", text, page=page)


def _flat(text: str) -> str:
    return " ".join(text.split())
