"""Parsing in a child: its answer comes back, and no file can hurt the parent."""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import xlsxwriter  # type: ignore[import-untyped]
from pptx import Presentation

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits, sandbox
from slipway_backend.parsing.child import answer
from slipway_backend.parsing.sandbox import OutOfMemory, ParserLost, Parsers, _environment

LIMITS = Limits(
    memory_bytes=1 << 30,
    seconds=60,
    expanded_bytes=50 << 20,
    pages=100,
    text_characters=100_000_000,
)


@pytest.fixture
async def parsers() -> AsyncIterator[Parsers]:
    async with Parsers() as started:
        yield started


async def test_the_blocks_come_back(parsers: Parsers, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("First.\n\nSecond.")
    parsed = await parsers.parse(path, "a.txt", LIMITS)
    assert parsed.blocks == [Block("text", "First."), Block("text", "Second.")]


async def test_a_reason_comes_back_as_the_error(parsers: Parsers, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(b"%PDF-1.7 and nothing else")
    with pytest.raises(DocumentError, match="damaged"):
        await parsers.parse(path, "a.pdf", LIMITS)


async def test_a_parser_that_takes_too_long_is_stopped(parsers: Parsers, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("<p>word</p>" * 300_000)
    with pytest.raises(DocumentError, match=r"took more than 0\.1 seconds"):
        await parsers.parse(path, "a.html", replace(LIMITS, seconds=0.1))


async def test_a_parser_that_needs_too_much_memory_is_told_so(
    parsers: Parsers, tmp_path: Path
) -> None:
    path = tmp_path / "stored"
    path.write_text("<p>word</p>" * 1_000_000)
    with pytest.raises(DocumentError, match="more than the 200 MB of memory"):
        await parsers.parse(path, "a.html", replace(LIMITS, memory_bytes=200 << 20))


async def test_a_parser_that_is_stopped_is_gone(parsers: Parsers, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("<p>word</p>" * 300_000)
    with pytest.raises(DocumentError, match="was stopped"):
        await parsers.parse(path, "a.html", replace(LIMITS, seconds=0.3))
    assert forked(parsers) == []


async def test_a_document_whose_time_is_over_at_the_first_start_leaves_nothing_open(
    parsers: Parsers, tmp_path: Path
) -> None:
    path = tmp_path / "stored"
    path.write_text("words")
    before = open_files(os.getpid())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await parsers.parse(path, "a.txt", LIMITS)
    assert (await parsers.parse(path, "a.txt", LIMITS)).blocks == [Block("text", "words")]
    await parsers.__aexit__()
    await asyncio.sleep(0)
    assert open_files(os.getpid()) == before


async def test_parsers_work_side_by_side(parsers: Parsers, tmp_path: Path) -> None:
    async def parse(number: int) -> list[Block]:
        path = tmp_path / str(number)
        path.write_text(f"Number {number}.")
        return (await parsers.parse(path, "a.txt", LIMITS)).blocks

    found = await asyncio.gather(*map(parse, range(8)))
    assert found == [[Block("text", f"Number {number}.")] for number in range(8)]


async def test_an_answer_larger_than_any_buffer_comes_back_whole(
    parsers: Parsers, tmp_path: Path
) -> None:
    path = tmp_path / "stored"
    path.write_text("word " * 2_000_000)
    parsed = await parsers.parse(path, "a.txt", LIMITS)
    assert sum(block.text.count("word") for block in parsed.blocks) == 2_000_000


async def test_an_answer_of_more_than_a_documents_text_is_not_kept(
    parsers: Parsers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "BYTES_BESIDE_TEXT", 0)
    monkeypatch.setattr(sandbox, "BYTES_PER_CHARACTER", 0)
    path = tmp_path / "stored"
    path.write_text("word " * 2_000_000)
    with pytest.raises(DocumentError, match="crashed"):
        await parsers.parse(path, "a.txt", LIMITS)
    assert forked(parsers) == []


@pytest.mark.parametrize(
    "answer", [b"", b"\xff", b"no JSON", b"[]", b"{}", b'{"parsed": {"blocks": [[1, 2, 3, 4, 5]]}}']
)
def test_an_answer_that_no_parser_gives_is_the_documents_fault(answer: bytes) -> None:
    with pytest.raises(DocumentError, match="crashed"):
        sandbox._read(answer)


async def test_a_parser_that_the_system_ends_is_told_as_want_of_memory(
    parsers: Parsers, tmp_path: Path
) -> None:
    path = tmp_path / "stored"
    path.write_text("<p>word</p>" * 1_000_000)

    def end() -> None:
        until(lambda: bool(forked(parsers)))
        os.kill(forked(parsers)[0], signal.SIGKILL)

    ending = asyncio.create_task(asyncio.to_thread(end))
    with pytest.raises(OutOfMemory):
        await parsers.parse(path, "a.html", LIMITS)
    await ending


async def test_parsers_are_started_again_when_the_system_ends_them(
    parsers: Parsers, tmp_path: Path
) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_text("<p>word</p>" * 1_000_000)
    small.write_text("words")

    def end() -> None:
        until(lambda: bool(forked(parsers)))
        assert parsers.pid is not None
        os.kill(parsers.pid, signal.SIGKILL)

    ending = asyncio.create_task(asyncio.to_thread(end))
    with pytest.raises(ParserLost):
        await parsers.parse(large, "a.html", LIMITS)
    await ending
    assert (await parsers.parse(small, "a.txt", LIMITS)).blocks == [Block("text", "words")]


async def test_a_parser_leaves_nothing_behind_for_the_next(
    parsers: Parsers, tmp_path: Path
) -> None:
    path = tmp_path / "stored"
    path.write_text("words")
    await parsers.parse(path, "a.txt", LIMITS)
    assert parsers.pid is not None
    before = open_files(os.getpid()), open_files(parsers.pid)
    for _ in range(5):
        await parsers.parse(path, "a.txt", LIMITS)
        with pytest.raises(DocumentError):
            await parsers.parse(path, "a.txt", replace(LIMITS, seconds=0.0001))
    await asyncio.sleep(0)
    assert (open_files(os.getpid()), open_files(parsers.pid)) == before


PARENT = """
import asyncio, sys, time
from pathlib import Path
from slipway_backend.parsing import Limits
from slipway_backend.parsing.sandbox import Parsers

async def main():
    async with Parsers() as parsers:
        parsing = asyncio.create_task(
            parsers.parse(Path(sys.argv[1]), "a.html", Limits(1 << 30, 60, 1 << 30, 1, 10**9))
        )
        while parsers.pid is None or not (
            found := Path(f"/proc/{parsers.pid}/task/{parsers.pid}/children").read_text().split()
        ):
            await asyncio.sleep(0.01)
        print(parsers.pid, *found, flush=True)
        await parsing

asyncio.run(main())
"""


def test_no_parser_outlives_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("<p>word</p>" * 1_000_000)
    command = [sys.executable, "-c", PARENT, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        started = [int(pid) for pid in worker.stdout.readline().split()]
        worker.kill()
    assert len(started) == 2
    until(lambda: not any(map(runs, started)))


def forked(parsers: Parsers) -> list[int]:
    """The parsers that work right now."""
    listed = Path(f"/proc/{parsers.pid}/task/{parsers.pid}/children")
    return list(map(int, listed.read_text().split())) if parsers.pid else []


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds, at most ten seconds."""
    late = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < late
        time.sleep(0.005)


def runs(pid: int) -> bool:
    """Whether a process exists that has not ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


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


CONFINED = """
import ctypes, json, os, platform, signal, socket, subprocess, sys, threading
from pathlib import Path
from slipway_backend.parsing.confinement import _CALLS, _TGKILL, confine
own, other = Path(sys.argv[1]), Path(sys.argv[2])
parent, machine = os.getppid(), platform.machine()
library = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if library.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def queue(name, *to):
    call(_CALLS[machine][name], *to, 0, ctypes.create_string_buffer(128))
missing = confine(own)
tries = {
    "open a socket": socket.socket,
    "open a pair of sockets": socket.socketpair,
    "start a process": lambda: subprocess.run(["/bin/true"]),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "send a process a signal": lambda: os.kill(parent, 0),
    "send a thread of a process a signal": lambda: call(_TGKILL[machine], parent, parent, 0),
    "queue a process a signal": lambda: queue("rt_sigqueueinfo", parent),
    "queue a thread of a process a signal": lambda: queue("rt_tgsigqueueinfo", parent, parent),
    "signal itself": lambda: signal.raise_signal(0),
    "read another file": other.read_bytes,
    "read the parent's environment": Path(f"/proc/{os.getppid()}/environ").read_bytes,
    "list a directory": lambda: os.listdir(own.parent),
    "write its file": lambda: own.write_bytes(b"x"),
    "read its file": own.read_bytes,
    "import a module": lambda: __import__("pypdfium2"),
    "start a thread": lambda: threading.Thread(target=int).start(),
}
allowed = []
for name, attempt in tries.items():
    try:
        attempt()
    except OSError:
        continue
    allowed.append(name)
print(json.dumps([missing, allowed]))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filters are Linux' own",
)
def test_a_parser_reaches_no_network_no_process_and_no_other_file(tmp_path: Path) -> None:
    script, own, other = (tmp_path / name for name in ("confined.py", "own", "other"))
    script.write_text(CONFINED)
    own.write_text("own")
    other.write_text("secret")
    command = [sys.executable, "-P", script, own, other]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    missing, allowed = json.loads(done.stdout)
    assert not any("seccomp" in each for each in missing)
    expected = {"read its file", "import a module", "start a thread", "signal itself"}
    if not missing:
        assert set(allowed) == expected
    else:  # a kernel without Landlock
        assert not {name for name in allowed if "socket" in name or "process" in name}


async def test_every_format_is_read_inside_the_confinement(
    parsers: Parsers, tmp_path: Path
) -> None:
    samples = Path(__file__).parents[4] / "samples"
    presentation = io.BytesIO()
    made = Presentation()
    made.slides.add_slide(made.slide_layouts[1]).placeholders[1].text_frame.text = "Slide."
    made.save(presentation)
    sheet = io.BytesIO()
    with xlsxwriter.Workbook(sheet, {"in_memory": True}) as book:
        book.add_worksheet().write(0, 0, "Cell.")
    members = {
        "a.pdf": (samples / "maintenance-handbook.pdf").read_bytes(),
        "a.docx": (samples / "travel-policy.docx").read_bytes(),
        "a.pptx": presentation.getvalue(),
        "a.xlsx": sheet.getvalue(),
        "a.html": b"<p>Web.",
        "a.md": b"# Title\n\nMarkdown.",
        "a.csv": b"a,b\n1,2\n",
        "a.txt": "Fähre".encode("latin-1"),
        "a.eml": b"From: a@example.org\nDate: Mon, 02 Nov 2026 09:00:00 +0000\n\nMail.",
    }
    path = tmp_path / "stored"
    path.write_bytes(container(members))
    parsed = await parsers.parse(path, "a.zip", LIMITS)
    assert parsed.skipped == []
    headings = {block.text for block in parsed.blocks if block.kind == "heading"}
    assert headings >= set(members)


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
    "a page nested without end": ("a.html", lambda: b"<html>" + b"<div>" * 100_000, "deeper than"),
    "spans in spans": ("a.html", lambda: b"<html>" + b"<span>x" * 200_000, "deeper than"),
    "an e-mail nested without end": ("a.eml", deep_email, "damaged"),
    "a bomb": ("a.zip", lambda: container({"a.txt": bytes(60 << 20)}), "ZIP bomb"),
    "a bomb in an archive": (
        "a.zip",
        lambda: container({"a.zip": container({"a.txt": bytes(40 << 20)})}),
        "ZIP bomb",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
@pytest.mark.parametrize(("name", "make", "sentence"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_file_ends_as_one_sentence_and_its_parser_is_gone(
    parsers: Parsers, tmp_path: Path, name: str, make: Callable[[], bytes], sentence: str
) -> None:
    path = tmp_path / "stored"
    path.write_bytes(make())
    with pytest.raises(DocumentError, match=sentence) as told:
        await parsers.parse(path, name, LIMITS)
    assert "\n" not in str(told.value)
    assert forked(parsers) == []


async def test_a_page_of_a_million_tags_is_read(parsers: Parsers, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("<html>" + "<b>x</b>" * 1_000_000)
    parsed = await parsers.parse(path, "a.html", LIMITS)
    assert parsed.blocks == [Block("text", "x" * 1_000_000)]


async def test_the_language_comes_with_what_was_parsed(parsers: Parsers, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("Die Seilbahn hält bei starkem Wind an und fährt danach langsam weiter.")
    assert (await parsers.parse(path, "a.txt", LIMITS)).language == "german"
