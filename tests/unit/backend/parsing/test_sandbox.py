"""Parsing in a child: its answer comes back, and no file can hurt the parent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits
from slipway_backend.parsing.child import answer
from slipway_backend.parsing.sandbox import _environment, parse

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


async def test_a_parser_sees_no_secret_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET", "s" * 32)
    monkeypatch.setenv("DATABASE_URL", "host=postgres user=slipway")
    assert not {"JWT_SECRET", "DATABASE_URL"} & set(_environment())
    assert "PATH" in _environment()


LIMITED = """
import os, subprocess, sys, tempfile
from slipway_backend.parsing import Limits
from slipway_backend.parsing.child import restrict
restrict(Limits(1 << 30, 60, 1, 1, 1))
allowed = []
try:
    with tempfile.TemporaryFile() as stream:
        stream.write(b"x")
    allowed.append("write")
except OSError:
    pass
os.setuid(65534) if os.getuid() == 0 else None  # the limit does not hold for root
try:
    subprocess.run(["true"])
    allowed.append("start")
except OSError:
    pass
print(allowed)
"""


def test_a_parser_can_write_no_file_and_start_no_process(tmp_path: Path) -> None:
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_parsers_own_failure_is_a_sentence_and_a_cause(tmp_path: Path) -> None:
    result = answer({"path": str(tmp_path / "missing"), "filename": "a"}, LIMITS)
    assert result["error"].startswith("The document is damaged")
    assert result["cause"] == "FileNotFoundError"
