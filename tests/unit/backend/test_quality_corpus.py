"""The labelled set keeps what its README promises: a wrong label would look like a miss."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from slipway_backend.chunking import split_sentences
from slipway_backend.parsing import Block, Limits
from slipway_backend.parsing.readers import read

QUALITY = Path(__file__).parents[3] / "samples" / "quality"
DOCUMENTS = sorted((QUALITY / "documents").iterdir())
LINES = (QUALITY / "questions.jsonl").read_text(encoding="utf-8").splitlines()
QUESTIONS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
KINDS = {"keyword", "paraphrase", "mixed", "multilingual", "identifier", "negative"}
LIMITS = Limits(
    memory_bytes=1 << 30,
    seconds=30,
    expanded_bytes=50 << 20,
    pages=100,
    text_characters=100_000,
)


@cache
def blocks(path: Path) -> list[Block]:
    return read(path, path.name, LIMITS).blocks


def headings_with_text(path: Path) -> list[str]:
    """Return the nearest heading of every run of text, "" before the first."""
    found: list[str] = []
    heading, fresh = "", True
    for block in blocks(path):
        if block.kind == "heading":
            heading, fresh = block.text, True
        elif fresh:
            found.append(heading)
            fresh = False
    return found


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_parses_and_no_heading_stands_twice_in_it(path: Path) -> None:
    headings = headings_with_text(path)
    assert headings
    assert len(set(headings)) == len(headings)
    assert (path.suffix == ".txt") == (headings == [""])


def test_every_label_names_a_section_that_exists() -> None:
    sections = {(path.name, name) for path in DOCUMENTS for name in headings_with_text(path)}
    labels = {
        (label["source"], label["heading"]) for each in QUESTIONS for label in each["relevant"]
    }
    assert labels - sections == set()


def test_questions_have_the_members_kinds_and_grades_of_the_readme() -> None:
    for question in QUESTIONS:
        assert list(question) == ["id", "question", "kind", "relevant"], question
        assert question["kind"] in KINDS, question
        assert (question["kind"] == "negative") == (not question["relevant"]), question
        for label in question["relevant"]:
            assert list(label) == ["source", "heading", "relevance"], question
            assert label["relevance"] in {1, 2}, question
        sections = [(label["source"], label["heading"]) for label in question["relevant"]]
        assert len(set(sections)) == len(sections), question


def test_no_id_and_no_question_stands_twice() -> None:
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({plain(question["question"]) for question in QUESTIONS}) == len(QUESTIONS)


def test_no_question_is_a_sentence_of_a_document() -> None:
    sentences = {
        plain(sentence)
        for path in DOCUMENTS
        for block in blocks(path)
        for sentence in split_sentences(block.text)
    }
    assert {plain(question["question"]) for question in QUESTIONS} & sentences == set()
