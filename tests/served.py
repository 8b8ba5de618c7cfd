"""Slipway as people run it: real processes on a real PostgreSQL, gone when the block ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from slipway_backend.embedded import embedded_postgres
from slipway_backend.migrate import migrate
from slipway_backend.settings import Settings

START_SECONDS = 180.0
STOP_SECONDS = 30.0


@dataclass
class Process:
    """One process that was started here, with a session of its own and a log file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    _stream: IO[bytes] = field(repr=False)

    def memory(self) -> int:
        """Resident bytes of the process and what it started."""
        return sum(_resident(pid) for pid in _family(self.popen.pid))

    def cpu_seconds(self) -> float:
        """Processor seconds of the process and what it started, so far."""
        return sum(_cpu_seconds(pid) for pid in _family(self.popen.pid))

    def stop(self) -> None:
        """End it in order, and by force when that takes too long."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_SECONDS)
                break
        self._stream.close()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])


class Site:
    """A scratch folder with PostgreSQL in it, and the processes that use it."""

    def __init__(self, folder: Path, database_url: str, model: Path) -> None:
        self.folder = folder
        self.database_url = database_url
        self.model = model
        self.password = secrets.token_urlsafe(16)
        self._secret = secrets.token_urlsafe(32)
        self.processes: list[Process] = []

    def settings(self, **changed: object) -> Settings:
        """The settings of an instance on this site."""
        values: dict[str, object] = {
            "database_url": self.database_url,
            "jwt_secret": self._secret,
            "admin_password": self.password,
            "files_directory": self.folder / "files",
            "model_directory": self.model,
            "worker_heartbeat_file": self.folder / "heartbeat",
            "host": "127.0.0.1",
            "drain_seconds": 0.0,
            "log_level": "warning",
            "release": "measured",
        }
        return Settings.model_validate(values | changed)

    def database_cpu_seconds(self) -> float:
        """Processor seconds of PostgreSQL and its processes, those that ended included."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        return sum(_cpu_seconds(pid, ended=True) for pid in _family(postmaster))

    def migrate(self) -> None:
        """Bring the database to this release."""
        migrate(self.settings())

    def backend(
        self, command: str, *, module: str = "slipway_backend", **changed: object
    ) -> Process:
        """Start `slipway-backend <command>`, or another module that takes its arguments."""
        settings = self.settings(**changed)
        given = settings.model_dump(exclude_unset=True)
        environment = {name.upper(): _written(value) for name, value in given.items()}
        return self.start(command, [sys.executable, "-m", module, command], environment)

    def serve(self, *, module: str = "slipway_backend", **changed: object) -> tuple[Process, str]:
        """Start the API and wait until it is ready; gives its address too."""
        port = free_port()
        process = self.backend("serve", module=module, port=port, **changed)
        base = f"http://127.0.0.1:{port}"
        wait_until_up(process, f"{base}/health/ready")
        return process, base

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a command; what it writes goes to a log file in the folder."""
        log = self.folder / f"{len(self.processes):02d}-{name}.log"
        stream = log.open("wb")
        popen = subprocess.Popen(
            command,
            env=os.environ | dict(environment),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        process = Process(name, popen, log, stream)
        self.processes.append(process)
        return process


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the block as an exception does, so that what it started is stopped too."""

    def end(number: int, frame: object) -> None:
        # What is being stopped must not be left half-way by another one.
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def site(model: Path) -> Iterator[Site]:
    """A site in a scratch folder; at the end its processes are stopped and the folder is gone."""
    with contextlib.ExitStack() as stack:
        # Run by root, PostgreSQL has a user of its own, which must reach the folder.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-site-")))
        folder.chmod(0o755)
        url = stack.enter_context(embedded_postgres(folder / "data"))
        made = Site(folder, url, model)
        stack.callback(lambda: [process.stop() for process in reversed(made.processes)])
        yield made


def free_port() -> int:
    """A port of the loopback interface that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(process: Process, url: str) -> None:
    """Wait until an address answers 200; raises RuntimeError with the log when it does not."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.popen.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{process.name} did not come up at {url}:\n{process.tail()}")


def _written(value: object) -> str:
    return "" if value is None else str(value)


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found.extend(_family(int(child)))
    return found


def _cpu_seconds(pid: int, *, ended: bool = False) -> float:
    """User and system time of a process; with `ended`, of its children that are gone too."""
    with contextlib.suppress(OSError):
        # The name in parentheses may hold spaces.
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = values[11:15] if ended else values[11:13]
        return sum(int(value) for value in ticks) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0
