from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest

from slipway_backend.chunking import chunk_blocks, split_sentences
from slipway_backend.parsing import Block

# Prints the most memory that was held, in KB. One token per letter, as real tokenizers have it in
# tables of numbers.
MEMORY = """
import string
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from slipway_backend.chunking import chunk_blocks
from slipway_backend.parsing import Block

letters = string.ascii_lowercase + string.digits + string.punctuation
pieces = ["[UNK]", *letters, *("##" + letter for letter in letters)]
tokenizer = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}))
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

def count(texts):
    return [len(found) for found in tokenizer.encode_batch_fast(list(texts))]

row = "4711 | anna meyer | berlin | 812.45 | 2024-05-11"
table = "number | name | city | amount | date" + f"\\n{row}" * (600_000 // len(row))
log = f"took=0.4711ms path=/v1/documents/{row} " * (400_000 // len(row))
for block in (Block("table", table), Block("text", log)):
    assert len(chunk_blocks([block], count, size=200, overlap=40)) > 500
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def test_headings_are_kept_as_a_path_and_never_crossed() -> None:
    blocks = [
        Block("heading", "Lifts", level=1),
        Block("text", "General words."),
        Block("heading", "Bearings", level=2),
        Block("text", "Use grease."),
        Block("heading", "Towers", level=2),
        Block("text", "Stop in wind."),
        Block("heading", "Other", level=1),
        Block("text", "More."),
    ]
    chunks = chunk_blocks(blocks, words, size=50, overlap=10)
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("Lifts", "General words."),
        ("Lifts > Bearings", "Use grease."),
        ("Lifts > Towers", "Stop in wind."),
        ("Other", "More."),
    ]
    assert [chunk.position for chunk in chunks] == [0, 1, 2, 3]
    assert chunks[1].text_to_embed() == "Lifts > Bearings\nUse grease."


def test_a_passage_never_crosses_a_page() -> None:
    blocks = [Block("text", "On one.", page=1), Block("text", "On two.", page=2)]
    chunks = chunk_blocks(blocks, words, size=50, overlap=10)
    assert [(chunk.page, chunk.text) for chunk in chunks] == [(1, "On one."), (2, "On two.")]


@pytest.mark.parametrize("size", [5, 12, 40])
def test_every_sentence_is_kept_in_order_and_no_passage_is_larger_than_asked(size: int) -> None:
    sentences = [f"Sentence {number} has five words." for number in range(30)]
    chunks = chunk_blocks([Block("text", " ".join(sentences))], words, size=size, overlap=5)
    assert all(chunk.tokens <= size for chunk in chunks)
    joined = " ".join(chunk.text for chunk in chunks)
    positions = [joined.index(sentence) for sentence in sentences]
    assert positions == sorted(positions)


def test_neighbours_overlap_by_whole_sentences() -> None:
    text = " ".join(f"Sentence {number} has five words." for number in range(8))
    chunks = chunk_blocks([Block("text", text)], words, size=20, overlap=5)
    for earlier, later in pairwise(chunks):
        assert later.text.startswith(earlier.text[-len("Sentence 0 has five words.") :])


def test_a_long_table_repeats_its_first_row_in_every_passage() -> None:
    rows = ["Country | Limit", *(f"Land{number} | {number} euros" for number in range(20))]
    chunks = chunk_blocks([Block("table", "\n".join(rows))], words, size=20, overlap=0)
    assert len(chunks) > 1
    assert all(chunk.text.startswith("Country | Limit\n") for chunk in chunks)
    assert all(any(row in chunk.text for chunk in chunks) for row in rows)


def test_short_code_stays_whole_and_long_code_breaks_at_lines() -> None:
    whole = chunk_blocks([Block("code", "a = 1\n\nb = 2")], words, size=20, overlap=0)
    assert [chunk.text for chunk in whole] == ["a = 1\n\nb = 2"]
    lines = [f"v{number} = {number}" for number in range(20)]
    parts = chunk_blocks([Block("code", "\n".join(lines))], words, size=12, overlap=0)
    assert "\n".join(chunk.text for chunk in parts).split("\n") == lines


def test_text_without_any_break_is_still_cut() -> None:
    chunks = chunk_blocks([Block("text", "x" * 1000)], characters, size=100, overlap=0)
    assert all(chunk.tokens <= 100 for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks).replace(" ", "") == "x" * 1000


def test_lines_broken_by_a_pages_width_become_one_sentence_again() -> None:
    text = "Work on the towers stops when the wind meter at tower nine shows\ngusts above 45 km/h."
    (chunk,) = chunk_blocks([Block("text", text, page=1)], words, size=50, overlap=0)
    assert chunk.text == text.replace("\n", " ")


def test_sentences_end_at_marks_before_capitals_not_at_decimals() -> None:
    assert split_sentences('It is 4.5 m. Then rest! (See there.) done. "Stop." So he did') == [
        "It is 4.5 m.",
        "Then rest!",
        "(See there.) done.",
        '"Stop."',
        "So he did",
    ]


def test_a_word_without_end_is_cut_although_the_model_counts_it_as_one() -> None:
    endless = "Q" * 100_000
    blocks = [Block("text", f"A picture: {endless} follows."), Block("code", endless)]
    chunks = chunk_blocks(blocks, words, size=20, overlap=5)
    assert max(len(chunk.text) for chunk in chunks) < 500
    assert sum(chunk.text.count("Q") for chunk in chunks) >= 200_000


def test_a_text_of_any_length_is_counted_in_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 128 * 1024


def test_what_is_too_large_in_any_case_is_not_counted_and_the_rest_in_small_batches() -> None:
    largest = longest = 0

    def counted(batch: Sequence[str]) -> list[int]:
        nonlocal largest, longest
        largest = max(largest, sum(map(len, batch)))
        longest = max(longest, *map(len, batch))
        return words(batch)

    rows = "\n".join(f"{number} | Land | {number} euros" for number in range(30_000))
    blocks = [Block("table", rows), Block("text", "word " * 100_000), Block("code", "x" * 200_000)]
    chunks = chunk_blocks(blocks, counted, size=20, overlap=5)
    assert sum(chunk.text.count("word") for chunk in chunks) == 100_000
    assert longest < 20 * 21
    assert largest <= 400_000


def test_a_heading_with_nothing_below_it_is_a_passage_of_its_own() -> None:
    blocks = [
        Block("heading", "Lifts", 1),
        Block("heading", "Only a title", 2, page=1),
        Block("heading", "Towers", 2, page=2),
        Block("text", "Words.", page=2),
        Block("heading", "End", 2, page=3),
    ]
    chunks = chunk_blocks(blocks, words, size=50, overlap=10)
    assert [(chunk.page, chunk.heading, chunk.text) for chunk in chunks] == [
        (1, "Lifts > Only a title", "Only a title"),
        (2, "Lifts > Towers", "Words."),
        (3, "Lifts > End", "End"),
    ]


def test_a_table_whose_rows_are_larger_than_a_passage_still_keeps_the_size() -> None:
    rows = ["a | b", "x " * 50 + "| " + "y " * 50, "1 | 2"]
    chunks = chunk_blocks([Block("table", "\n".join(rows))], words, size=12, overlap=0)
    assert max(chunk.tokens for chunk in chunks) <= 12
    assert all(chunk.text.startswith("a | b\n") for chunk in chunks)


def test_tiny_paragraphs_cost_few_calls_of_the_tokenizer() -> None:
    texts = 0

    def counted(batch: Sequence[str]) -> list[int]:
        nonlocal texts
        texts += len(batch)
        return words(batch)

    chunks = chunk_blocks([Block("text", "w")] * 100_000, counted, size=200, overlap=40)
    assert sum(chunk.tokens for chunk in chunks) >= 100_000
    assert texts < 5_000
