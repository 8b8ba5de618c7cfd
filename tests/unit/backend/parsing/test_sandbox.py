"""Parsing in a child: its answer comes back, and no file can hurt the parent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits
from slipway_backend.parsing.child import answer
from slipway_backend.parsing.sandbox import parse

LIMITS = Limits(
    memory_bytes=1 << 30,
    seconds=60,
    expanded_bytes=50 << 20,
    pages=100,
    text_characters=100_000_000,
)


async def test_the_blocks_come_back(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("First.\n\nSecond.")
    parsed = await parse(path, "a.txt", LIMITS)
    assert parsed.blocks == [Block("text", "First."), Block("text", "Second.")]


async def test_a_reason_comes_back_as_the_error(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(b"%PDF-1.7 and nothing else")
    with pytest.raises(DocumentError, match="damaged"):
        await parse(path, "a.pdf", LIMITS)


async def test_a_parser_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("words")
    with pytest.raises(DocumentError, match=r"took more than 0\.01 seconds"):
        await parse(path, "a.txt", replace(LIMITS, seconds=0.01))


async def test_a_parser_that_needs_too_much_memory_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("<p>word</p>" * 500_000)
    with pytest.raises(DocumentError, match="more than the 200 MB of memory"):
        await parse(path, "a.html", replace(LIMITS, memory_bytes=200 << 20))


def test_a_parsers_own_failure_is_a_sentence_and_a_cause(tmp_path: Path) -> None:
    result = answer({"path": str(tmp_path / "missing"), "filename": "a"}, LIMITS)
    assert result["error"].startswith("The document is damaged")
    assert result["cause"] == "FileNotFoundError"
