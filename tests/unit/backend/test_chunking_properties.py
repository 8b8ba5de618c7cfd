"""What holds for the passages of every document, however it is made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_backend.chunking import HEADING_SEPARATOR, Chunk, chunk_blocks
from slipway_backend.parsing import Block

KINDS = st.sampled_from(["heading", "text", "text", "table", "code"])
#: A block's kind, level, pages further, and its lines' numbers of words and of sentence ends.
SHAPES = st.lists(
    st.tuples(
        KINDS,
        st.integers(1, 6),
        st.integers(0, 1),
        st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9)), min_size=1, max_size=6),
    ),
    max_size=14,
)
SIZES = st.integers(4, 60)


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def document(shapes: list[tuple[str, int, int, list[tuple[int, int]]]], paged: bool) -> list[Block]:
    """Blocks in which every word is there once, so that each can be followed."""
    blocks, number, page = [], 0, 1
    for kind, level, further, lines in shapes:
        page += further
        texts = []
        for count, stop_every in lines if kind != "heading" else [(2, 9)]:
            line = []
            for place in range(count):
                number += 1
                line.append(f"W{number}" + ("." if place % stop_every == 0 else ""))
            texts.append(" | ".join(line) if kind == "table" else " ".join(line))
        blocks.append(
            Block(
                kind,  # type: ignore[arg-type]
                "\n".join(texts),
                level if kind == "heading" else 0,
                page if paged else None,
            )
        )
    return blocks


def origin(blocks: list[Block]) -> dict[str, tuple[int | None, str]]:
    """Every word's page and the path of headings above it."""
    found: dict[str, tuple[int | None, str]] = {}
    path: list[tuple[int, str]] = []
    for block in blocks:
        if block.kind == "heading":
            path = [entry for entry in path if entry[0] < block.level]
            path.append((block.level, block.text))
        for word in block.text.split():
            found[word] = (block.page, HEADING_SEPARATOR.join(text for _, text in path))
    return found


def fresh_words(chunks: list[Chunk]) -> list[str]:
    """All words in the order in which they first appear."""
    return list(dict.fromkeys(word for chunk in chunks for word in chunk.text.split()))


@settings(max_examples=150)
@given(SHAPES, st.booleans(), SIZES, st.integers(0, 20))
def test_no_word_is_lost_and_their_order_is_kept(
    shapes: list[tuple[str, int, int, list[tuple[int, int]]]], paged: bool, size: int, overlap: int
) -> None:
    blocks = document(shapes, paged)
    chunks = chunk_blocks(blocks, words, size=size, overlap=overlap)
    body = [word for block in blocks if block.kind != "heading" for word in block.text.split()]
    headings = {word for block in blocks if block.kind == "heading" for word in block.text.split()}
    found = [word for word in fresh_words(chunks) if word not in headings]
    assert found == list(dict.fromkeys(body))
    kept = headings & {word for chunk in chunks for word in f"{chunk.heading} {chunk.text}".split()}
    assert kept == headings


@settings(max_examples=150)
@given(SHAPES, st.booleans(), SIZES, st.integers(0, 20))
def test_every_passage_is_of_one_section_within_its_size_and_overlaps_little(
    shapes: list[tuple[str, int, int, list[tuple[int, int]]]], paged: bool, size: int, overlap: int
) -> None:
    blocks = document(shapes, paged)
    chunks = chunk_blocks(blocks, words, size=size, overlap=overlap)
    assert chunks == chunk_blocks(iter(blocks), words, size=size, overlap=overlap)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    where = origin(blocks)
    for chunk in chunks:
        assert chunk.text.strip()
        assert chunk.tokens == words([chunk.text])[0] <= size
        assert {where[word] for word in chunk.text.split() if word != "|"} == {
            (chunk.page, chunk.heading)
        }
    tables = {word for block in blocks if block.kind == "table" for word in block.text.split()}
    for earlier, later in pairwise(chunks):
        shared = set(earlier.text.split()) & set(later.text.split()) - tables
        assert len(shared) <= overlap


@settings(max_examples=100)
@given(st.text(max_size=400), st.sampled_from(["text", "table", "code"]), st.integers(1, 30))
def test_any_text_keeps_its_visible_characters_in_order(text: str, kind: str, size: int) -> None:
    blocks = [Block(kind, text)]  # type: ignore[arg-type]

    def characters(texts: Sequence[str]) -> list[int]:
        return [len(part) for part in texts]

    chunks = chunk_blocks(blocks, characters, size=size, overlap=0)
    found = iter("".join(chunk.text for chunk in chunks))
    assert all(sign in found for sign in text if not sign.isspace())
