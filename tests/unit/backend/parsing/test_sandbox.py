"""Parsing in a child: its answer comes back, and no file can hurt the parent."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
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


def container(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return stream.getvalue()


def billion_laughs() -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    document = (
        f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e0 "laugh">{entities}]>'
        "<w:document xmlns:w="
        '"http://schemas.openxmlformats.org/wordprocessingml/2006/main">&e11;</w:document>'
    )
    return container({"word/document.xml": document.encode()})


def workbook(addresses: tuple[str, ...]) -> bytes:
    """A workbook whose cells stand at these addresses."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    cells = "".join(f'<row><c r="{address}"><v>1</v></c></row>' for address in addresses)
    return container(
        {
            "xl/workbook.xml": (
                f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
                '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>'
            ).encode(),
            "xl/_rels/workbook.xml.rels": (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                f'<Relationship Id="r1" Type="{relations}/worksheet" '
                'Target="worksheets/sheet1.xml"/></Relationships>'
            ).encode(),
            "xl/worksheets/sheet1.xml": (
                f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
            ).encode(),
        }
    )


def deep_email() -> bytes:
    parts = (f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(3000))
    return ("From: a@example.org\nSubject: x\n" + "".join(parts)).encode()


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "entities that expand without end": ("a.docx", billion_laughs, "damaged or not what it seems"),
    "two cells a billion cells apart": (
        "a.xlsx",
        lambda: workbook(("A1", "XFD1048576")),
        "spans 1048576 rows and 16384 columns",
    ),
    "a page nested without end": ("a.html", lambda: b"<html>" + b"<div>" * 100_000, "damaged"),
    "an e-mail nested without end": ("a.eml", deep_email, "damaged"),
    "a page of a million tags": (
        "a.html",
        lambda: b"<html>" + b"<b>x</b>" * 1_000_000,
        "took more than 4 seconds|more than the 1024 MB",
    ),
    "a bomb": ("a.zip", lambda: container({"a.txt": bytes(60 << 20)}), "ZIP bomb"),
    "a bomb in an archive": (
        "a.zip",
        lambda: container({"a.zip": container({"a.txt": bytes(40 << 20)})}),
        "ZIP bomb",
    ),
}


def children() -> set[str]:
    tasks = Path("/proc/self/task").iterdir()
    return {child for task in tasks for child in (task / "children").read_text().split()}


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
@pytest.mark.parametrize(("name", "make", "sentence"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_file_ends_as_one_sentence_and_its_parser_is_gone(
    tmp_path: Path, name: str, make: Callable[[], bytes], sentence: str
) -> None:
    path = tmp_path / "stored"
    path.write_bytes(make())
    before = children()
    seconds = 4 if "4 seconds" in sentence else 60
    with pytest.raises(DocumentError, match=sentence) as told:
        await parse(path, name, replace(LIMITS, seconds=seconds))
    assert "\n" not in str(told.value)
    assert children() == before


async def test_the_language_comes_with_what_was_parsed(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("Die Seilbahn hält bei starkem Wind an und fährt danach langsam weiter.")
    assert (await parse(path, "a.txt", LIMITS)).language == "german"
