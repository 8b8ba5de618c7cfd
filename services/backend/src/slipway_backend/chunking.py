"""Cutting a document into passages that respect its structure.

A passage never crosses a heading or a page; sentences, table rows and code lines stay whole unless
a single one is larger than a passage may be. Consecutive passages of one section overlap. A heading
with nothing below it, such as the title of a slide, is a passage of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from slipway_backend.parsing import Block, Kind

CountTokensMany = Callable[[Sequence[str]], Sequence[int]]

_SENTENCE = re.compile(r"([.!?…][\"')\]»”]*)\s+(?=[\"'(\[«“]?[A-Z0-9À-Þ])|\n+")
HEADING_SEPARATOR = " > "
HEADING_CHARACTERS = 500
# A model may take a word of any length for one token, such as a picture written as text.
CHARACTERS_PER_TOKEN = 20
# Counting text by text costs more than the counting; larger batches were not faster. A tokenizer
# takes about 150 bytes of memory for each character of a batch.
_BATCH = 4096
_BATCH_CHARACTERS = 400_000
_LINE_BREAKS_FROM = 60
_TINY_CHARACTERS = 24
_MERGED_CHARACTERS = 80


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


@dataclass(frozen=True, slots=True)
class _Unit:
    """What stays whole: a sentence, a table or a part of one, a piece of code."""

    text: str
    tokens: int
    kind: Kind


@dataclass(slots=True)
class _Heading:
    level: int
    text: str
    page: int | None
    used: bool = False


def split_sentences(text: str) -> list[str]:
    """Split prose into sentences; line breaks end a sentence too."""
    lines = _SENTENCE.sub(r"\1\n", text).split("\n")
    return [part.strip() for part in lines if part.strip()]


def chunk_blocks(
    blocks: Iterable[Block], count_tokens_many: CountTokensMany, *, size: int, overlap: int
) -> list[Chunk]:
    """Return passages of at most ``size`` tokens, overlapping by at most ``overlap``.

    A passage's tokens are the sum of its parts'; a tokenizer that counts a joined text otherwise
    may find a few more or less.
    """

    def count(texts: Iterable[str]) -> list[int]:
        return [tokens for batch in _batches(texts) for tokens in count_tokens_many(batch)]

    def costs(texts: Sequence[str]) -> list[int]:
        """What each text costs; of one that is too large in any case, only that it is."""
        least = [len(text) // CHARACTERS_PER_TOKEN for text in texts]
        small = (text for text, cost in zip(texts, least, strict=True) if cost <= size)
        counted = iter(count(small))
        return [max(cost, next(counted)) if cost <= size else cost for cost in least]

    pieces = [
        (heading, page, text)
        for heading, page, units in _sections(_Cutter(costs, size).cut(blocks))
        for text in _pack(units, size, overlap)
    ]
    counts = count(text for _, _, text in pieces)
    return [
        Chunk(position, page, heading, text, tokens)
        for position, ((heading, page, text), tokens) in enumerate(zip(pieces, counts, strict=True))
    ]


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and (len(batch) == _BATCH or characters + len(text) > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch


def _sections(
    cut: Iterable[tuple[Block, list[_Unit]]],
) -> Iterator[tuple[str, int | None, list[_Unit]]]:
    path: list[_Heading] = []
    units: list[_Unit] = []
    page: int | None = None
    for block, block_units in cut:
        if units and (block.kind == "heading" or block.page != page):
            yield _joined(path), page, units
            units = []
        page = block.page
        if block.kind == "heading":
            if path and block.level <= path[-1].level:
                yield from _alone(path)
            path = [entry for entry in path if entry.level < block.level]
            path.append(_Heading(block.level, block.text[:HEADING_CHARACTERS], page))
        if block_units:
            units.extend(block_units)
            for entry in path:
                entry.used = True
    if units:
        yield _joined(path), page, units
    yield from _alone(path)


def _alone(path: list[_Heading]) -> Iterator[tuple[str, int | None, list[_Unit]]]:
    """The last heading as a passage of its own when nothing stands below it."""
    if path and not path[-1].used:
        yield _joined(path), path[-1].page, [_Unit(path[-1].text, 0, "heading")]
        for entry in path:
            entry.used = True


def _joined(path: list[_Heading]) -> str:
    return HEADING_SEPARATOR.join(entry.text for entry in path)[:HEADING_CHARACTERS]


class _Cutter:
    """Cuts blocks into units of at most ``size`` tokens, counting many texts at once."""

    def __init__(self, costs: Callable[[Sequence[str]], list[int]], size: int) -> None:
        self._costs = costs
        self._size = size

    def cut(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, list[_Unit]]]:
        """Yield every block with its units, in order."""
        waiting: list[tuple[Block, list[str]]] = []
        texts: list[str] = []
        for block in _merged(blocks, min(_MERGED_CHARACTERS, self._size)):
            parts = _parts(block)
            waiting.append((block, parts))
            texts.extend(parts)
            if len(texts) >= _BATCH or len(waiting) >= _BATCH:
                yield from self._counted(waiting, texts)
                waiting, texts = [], []
        yield from self._counted(waiting, texts)

    def _counted(
        self, waiting: list[tuple[Block, list[str]]], texts: list[str]
    ) -> Iterator[tuple[Block, list[_Unit]]]:
        costs = iter(self._costs(texts))
        for block, parts in waiting:
            units: list[_Unit] = []
            for part in parts:
                cost = next(costs)
                if cost <= self._size:
                    units.append(_Unit(part, cost, block.kind))
                elif block.kind in ("table", "code"):
                    units.extend(self._lines(part, block.kind))
                else:
                    units.extend(self._words(part, cost, block.kind))
            yield block, units

    def _lines(self, text: str, kind: Kind) -> Iterator[_Unit]:
        lines = [line for line in text.split("\n") if line.strip()]
        costs = self._costs(lines)
        if kind == "table" and len(lines) > 1 and costs[0] * 2 <= self._size:
            # Every part of a long table repeats its first row, or its cells lose their meaning.
            yield from self._rows(lines, costs)
            return
        for line, cost in zip(lines, costs, strict=True):
            yield from self._words(line, cost, kind)

    def _rows(self, rows: list[str], costs: list[int]) -> Iterator[_Unit]:
        head, head_cost = rows[0], costs[0]
        group, tokens = [head], head_cost
        for row, cost in zip(rows[1:], costs[1:], strict=True):
            for unit in self._words(row, cost, "table", self._size - head_cost):
                if len(group) > 1 and tokens + unit.tokens > self._size:
                    yield _Unit("\n".join(group), tokens, "table")
                    group, tokens = [head], head_cost
                group.append(unit.text)
                tokens += unit.tokens
        yield _Unit("\n".join(group), tokens, "table")

    def _words(
        self, text: str, tokens: int, kind: Kind, size: int | None = None
    ) -> Iterator[_Unit]:
        """Yield the text whole, or in pieces of words when it alone is larger than a passage."""
        limit = self._size if size is None else size
        if tokens <= limit or len(text) == 1:
            if text.strip():
                yield _Unit(text, tokens, kind)
            return
        middle = text.rfind(" ", 1, len(text) // 2 + 1)
        if middle < 0:
            middle = text.find(" ", len(text) // 2)
        if middle < 0:
            middle = len(text) // 2
        # The gap between two words is the only thing that a cut leaves out.
        halves = [text[:middle], text[middle:].removeprefix(" ")]
        for half, cost in zip(halves, self._costs(halves), strict=True):
            yield from self._words(half, cost, kind, limit)


def _merged(blocks: Iterable[Block], characters: int) -> Iterator[Block]:
    """Join neighbouring tiny paragraphs: a million of one word each cost as much as long ones.

    ``characters`` is at most the tokens of a passage, so that no joined text is larger than one.
    """
    tiny: list[str] = []
    length = 0
    page: int | None = None
    for block in blocks:
        joins = block.kind == "text" and len(block.text) <= _TINY_CHARACTERS
        if tiny and (
            not joins or block.page != page or length + len(block.text) + len(tiny) > characters
        ):
            yield Block("text", " ".join(tiny), page=page)
            tiny, length = [], 0
        if joins:
            tiny.append(block.text)
            length += len(block.text)
            page = block.page
        else:
            yield block
    if tiny:
        yield Block("text", " ".join(tiny), page=page)


def _parts(block: Block) -> list[str]:
    if block.kind == "text":
        return _join_lines(block) if block.page is not None else split_sentences(block.text)
    if block.kind == "heading" and len(block.text) <= HEADING_CHARACTERS:
        return []
    return [block.text]


def _join_lines(block: Block) -> list[str]:
    """Join the lines of a page's paragraph that are one sentence broken by the page's width."""
    joined: list[list[str]] = []
    length = 0
    for part in split_sentences(block.text):
        open_end = joined and joined[-1][-1][-1] not in ".!?:;…"
        if open_end and (part[0].islower() or length > _LINE_BREAKS_FROM):
            joined[-1].append(part)
            length += len(part) + 1
        else:
            joined.append([part])
            length = len(part)
    return [sentence for parts in joined for sentence in split_sentences(" ".join(parts))]


def _pack(units: list[_Unit], size: int, overlap: int) -> Iterator[str]:
    current: list[_Unit] = []
    tokens = 0
    for unit in units:
        if current and tokens + unit.tokens > size:
            yield _text(current)
            current, tokens = _tail(current, min(overlap, size - unit.tokens))
        current.append(unit)
        tokens += unit.tokens
    if current:
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
    before: Kind | None = None
    for unit in units:
        if before is not None:
            parts.append(" " if unit.kind == before == "text" else "\n")
        parts.append(unit.text)
        before = unit.kind
    return "".join(parts)
