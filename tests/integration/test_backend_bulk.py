"""A folder goes into a server by one command, which may be stopped and started at any time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

PASSWORD = "an admin password for tests"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    for number in range(40):
        path = made / f"part {number % 4}" / f"år {number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Quay {number}\n\nThe ferry number {number} leaves at 07:15.\n")
    (made / "broken.docx").write_text("only text")
    (made / "empty.md").touch()
    return made


def ingest(url: str, folder: Path, *options: str, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "slipway_backend", "ingest", str(folder), "--url", url, *options],
        env=os.environ | {"SLIPWAY_PASSWORD": PASSWORD} | extra,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors, errors
    return process.returncode, output


async def total(instance: Any) -> int:
    return int((await instance.client.get("/v1/documents")).json()["total"])


class Servers:
    """Real servers on one port, one after the other."""

    def __init__(self, start: Callable[..., Any], eventually: Callable[..., None]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._start = start
        self._eventually = eventually

    def start(self, **extra: str) -> Any:
        process = self._start("serve", PORT=str(self.port), HOST="127.0.0.1", **extra)
        self._eventually(self._ready, "the server's start")
        return process

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        return False


@pytest.fixture
def servers(start_process: Callable[..., Any], eventually: Callable[..., None]) -> Servers:
    return Servers(start_process, eventually)


async def test_a_folder_goes_in_through_a_killed_server_and_again_only_what_changed(
    instance: Any, servers: Servers, folder: Path, start_process: Callable[..., Any]
) -> None:
    # The queue's limit makes the command wait until the worker, which starts late, made room.
    first = await asyncio.to_thread(servers.start, MAX_UNFINISHED_PER_USER="20")
    running = ingest(servers.url, folder, "--username", "admin", "--wait", "--workers", "3")
    async with asyncio.timeout(60):
        while (await total(instance)) < 20:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
    first.kill()
    first.wait()
    await asyncio.to_thread(servers.start)
    start_process("worker")
    code, output = await asyncio.to_thread(finish, running)
    assert code == 1
    assert "42 files: 41 uploaded, 0 unchanged, 2 failed, 40 became ready" in output
    assert "broken.docx: " in output
    assert "empty.md: The file 'empty.md' is empty" in output

    (folder / "part 1" / "år 1.md").write_text("# Quay 1\n\nThe ferry leaves at 09:40.\n")
    (folder / "broken.docx").unlink()
    (folder / "empty.md").unlink()
    again = ingest(servers.url, folder, "--username", "admin", "--wait")
    code, output = await asyncio.to_thread(finish, again)
    assert code == 0
    assert "40 files: 1 uploaded, 39 unchanged, 0 failed, 1 became ready" in output
    listed = (await instance.client.get("/v1/documents", params={"limit": 500})).json()
    assert listed["total"] == 41
    versions = {each["source"]: each["served_version"] for each in listed["documents"]}
    assert versions.pop("broken.docx") is None
    assert versions.pop("part 1/år 1.md") == 2
    assert set(versions.values()) == {1}


async def test_a_file_that_is_too_large_is_refused_alone_and_with_the_reason(
    instance: Any, servers: Servers, tmp_path: Path
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "small.md").write_text("# Quay\n\nThe ferry leaves at 07:15.\n")
    with (folder / "large.md").open("wb") as large:
        large.truncate(40_000_000)
    await asyncio.to_thread(servers.start, MAX_UPLOAD_BYTES="1000000")
    running = ingest(servers.url, folder, "--username", "admin", "--patience", "3")
    code, output = await asyncio.to_thread(finish, running)
    assert code == 1
    assert "2 files: 1 uploaded, 0 unchanged, 1 failed" in output
    assert "large.md: The file is larger than the 1000000 bytes" in output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--username", "nobody"], "does not let you in"),
        ([], "SLIPWAY_API_KEY"),
        (["--api-key-file", "/nowhere/key"], "cannot be read"),
        (["--username", "admin", "--ca-file", "/nowhere/ca.pem"], "--ca-file"),
        (["--username", "admin", "--workers", "0"], "--workers"),
    ],
)
async def test_a_command_that_cannot_begin_says_why_and_exits_2(
    instance: Any, servers: Servers, folder: Path, options: list[str], said: str
) -> None:
    if options[:1] == ["--username"] and len(options) == 2:
        await asyncio.to_thread(servers.start)
    process = ingest(servers.url, folder, *options)
    _, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 2
    assert said in errors
    assert "Traceback" not in errors


async def test_an_address_that_is_none_is_told_as_that(folder: Path) -> None:
    process = ingest("http://[::1", folder, "--username", "admin")
    _, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 2
    assert "--url http://[::1 is no address" in errors
    assert "Traceback" not in errors


async def test_what_is_waited_for_is_told_at_once(servers: Servers, folder: Path) -> None:
    process = ingest(servers.url, folder, "--username", "admin", "--patience", "600")
    assert process.stderr is not None
    line = await asyncio.to_thread(process.stderr.readline)
    assert f"{servers.url} does not answer" in line
    assert "trying again for up to 600 seconds" in line
    process.send_signal(signal.SIGINT)
    output, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert (process.returncode, errors) == (
        130,
        "Stopped. The same command goes on where it was.\n",
    )
    assert output == ""


async def test_a_server_that_stays_away_is_told_of_after_the_patience(
    servers: Servers, folder: Path
) -> None:
    process = ingest(servers.url, folder, "--username", "admin", "--patience", "0")
    _, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 2
    assert f"{servers.url} does not answer" in errors
