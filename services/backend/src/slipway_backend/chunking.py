"""Cutting a document into passages that respect its structure.

A passage never crosses a heading or a page; sentences, table rows and code lines stay whole unless
a single one is larger than a passage may be. Consecutive passages of one section overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slipway_backend.parsing import Block, Kind

CountTokens = Callable[[str], int]

_SENTENCE = re.compile(r"(?<=[.!?…])[\"')\]»”]*\s+(?=[\"'(\[«“]?[A-Z0-9À-Þ])|\n+")
HEADING_SEPARATOR = " > "
# A model may take a word of any length for one token, such as a picture written as text.
CHARACTERS_PER_TOKEN = 20


@dataclass(frozen=True)
class Chunk:
    """One passage: its order in the document, where it stands, its text and size in tokens."""

    position: int
    page: int | None
    heading: str
    text: str
    tokens: int

    def text_to_embed(self) -> str:
        """The passage with its headings, which often hold the words a question uses."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


@dataclass(frozen=True)
class _Unit:
    text: str
    tokens: int
    kind: Kind


def split_sentences(text: str) -> list[str]:
    """Split prose into sentences; line breaks end a sentence too."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def chunk_blocks(
    blocks: list[Block], count_tokens: CountTokens, *, size: int, overlap: int
) -> list[Chunk]:
    """Return passages of at most about ``size`` tokens, overlapping by at most ``overlap``."""

    def cost(text: str) -> int:
        return max(count_tokens(text), len(text) // CHARACTERS_PER_TOKEN)

    chunks: list[Chunk] = []
    for heading, page, units in _sections(blocks, cost, size):
        for text in _pack(units, size, overlap):
            tokens = count_tokens(text)
            chunks.append(Chunk(len(chunks), page, heading, text, tokens))
    return chunks


def _sections(
    blocks: list[Block], count_tokens: CountTokens, size: int
) -> Iterator[tuple[str, int | None, list[_Unit]]]:
    path: list[tuple[int, str]] = []
    units: list[_Unit] = []
    page: int | None = None
    for block in blocks:
        if units and (block.kind == "heading" or block.page != page):
            yield _heading(path), page, units
            units = []
        page = block.page
        if block.kind == "heading":
            path = [entry for entry in path if entry[0] < block.level]
            path.append((block.level, block.text))
        else:
            units.extend(_units(block, count_tokens, size))
    if units:
        yield _heading(path), page, units


def _heading(path: list[tuple[int, str]]) -> str:
    return HEADING_SEPARATOR.join(text for _, text in path)[:500]


def _units(block: Block, count_tokens: CountTokens, size: int) -> Iterator[_Unit]:
    if block.kind == "text":
        parts = _join_lines(split_sentences(block.text), block)
    else:
        whole = count_tokens(block.text)
        if whole <= size:
            yield _Unit(block.text, whole, block.kind)
            return
        parts = [line for line in block.text.split("\n") if line.strip()]
        if block.kind == "table" and len(parts) > 2:
            # Every part of a long table repeats its first row, or its cells lose their meaning.
            yield from _table(parts, count_tokens, size)
            return
    for part in parts:
        yield from _fit(part, block.kind, count_tokens, size)


def _join_lines(parts: list[str], block: Block) -> list[str]:
    """Join the lines of a page's paragraph that are one sentence broken by the page's width."""
    if block.page is None:
        return parts
    joined: list[str] = []
    for part in parts:
        if (
            joined
            and joined[-1][-1] not in ".!?:;…"
            and (part[0].islower() or len(joined[-1]) > 60)
        ):
            joined[-1] = f"{joined[-1]} {part}"
        else:
            joined.append(part)
    return [sentence for part in joined for sentence in split_sentences(part)]


def _table(rows: list[str], count_tokens: CountTokens, size: int) -> Iterator[_Unit]:
    head = rows[0]
    group: list[str] = [head]
    tokens = count_tokens(head)
    for row in rows[1:]:
        cost = count_tokens(row)
        if len(group) > 1 and tokens + cost > size:
            yield _Unit("\n".join(group), tokens, "table")
            group, tokens = [head], count_tokens(head)
        group.append(row)
        tokens += cost
    yield from _fit("\n".join(group), "table", count_tokens, size)


def _fit(text: str, kind: Kind, count_tokens: CountTokens, size: int) -> Iterator[_Unit]:
    """Yield the text whole, or in pieces of words when it alone is larger than a passage."""
    tokens = count_tokens(text)
    if tokens <= size:
        yield _Unit(text, tokens, kind)
        return
    if " " in text:
        words, joiner = text.split(" "), " "
    else:
        step = max(1, len(text) * size // (tokens * 2))
        words, joiner = [text[at : at + step] for at in range(0, len(text), step)], ""
    if len(words) == 1:
        yield _Unit(text, tokens, kind)
        return
    middle = len(words) // 2
    yield from _fit(joiner.join(words[:middle]), kind, count_tokens, size)
    yield from _fit(joiner.join(words[middle:]), kind, count_tokens, size)


def _pack(units: list[_Unit], size: int, overlap: int) -> Iterator[str]:
    current: list[_Unit] = []
    tokens = 0
    fresh = False
    for unit in units:
        if current and tokens + unit.tokens > size:
            yield _text(current)
            current, tokens = _tail(current, min(overlap, size - unit.tokens))
        current.append(unit)
        tokens += unit.tokens
        fresh = True
    if current and fresh:
        yield _text(current)


def _tail(units: list[_Unit], overlap: int) -> tuple[list[_Unit], int]:
    """The last whole sentences of a passage that fit into the overlap."""
    kept: list[_Unit] = []
    tokens = 0
    for unit in reversed(units):
        if unit.kind != "text" or tokens + unit.tokens > overlap:
            break
        kept.insert(0, unit)
        tokens += unit.tokens
    return kept, tokens


def _text(units: list[_Unit]) -> str:
    parts: list[str] = []
    for unit in units:
        separator = "" if not parts else " " if unit.kind == "text" else "\n"
        parts.append(separator + unit.text)
    return "".join(parts)
