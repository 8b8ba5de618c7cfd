"""A server on restored files, which nobody but this process reaches: it recovers, and answers."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess  # nosec B404
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from slipway_backup import fingerprints, process
from slipway_backup.errors import Failed
from slipway_backup.fingerprints import Connection
from slipway_backup.process import User
from slipway_backup.progress import Progress, silent
from slipway_backup.settings import BINARIES, Settings

SUPERUSER = "postgres"
ENDED_EARLY = "recovery ended before configured recovery target was reached"
FATAL = re.compile(r"(?:FATAL|PANIC): +(.*)$", re.MULTILINE)
NOT_FOUND = re.compile(r"unable to find ([0-9A-F]{24}) in the archive")
LAST_WRITE = re.compile(r"last completed transaction was at log time (\S+ \S+)")
RESTORED = re.compile(r'restored log file "([0-9A-F]{24})" from archive')
LAST_WRITE = re.compile(r"last completed transaction was at log time (.+)$", re.MULTILINE)
STOP_SECONDS = 120


@dataclass(frozen=True)
class Target:
    """How far the log is replayed: to a restore point, to a time, or as far as it goes."""

    name: str = ""
    time: str = ""
    timeline: str = "latest"

    @property
    def settings(self) -> dict[str, str]:
        """The server's settings."""
        found = {"recovery_target_action": "promote", "recovery_target_timeline": self.timeline}
        if self.name:
            found["recovery_target_name"] = self.name
        if self.time:
            found["recovery_target_time"] = self.time
        return found


class EndedEarly(Failed):
    """The archive ended before what was to be reached; `last` is the last file replayed."""

    def __init__(self, last: str, missing: str) -> None:
        super().__init__(
            f"the log ends after {last or 'the copy'}: {missing or 'what comes next'} is not in the"
            " archive, so that what was to be reached is not there",
            "choose another point or an earlier time: slipway-backup list",
        )
        self.last = last
        self.missing = missing


@dataclass
class Server:
    """A server that runs on a folder."""

    folder: Path
    sockets: Path
    child: subprocess.Popen[bytes]
    log: Path
    database: str
    seconds: float = field(default=0.0)

    def conninfo(self, database: str = "") -> str:
        """libpq's words for a session as the superuser."""
        return make_conninfo(
            "", host=str(self.sockets), dbname=database or self.database, user=SUPERUSER
        )

    def connect(self, database: str = "", *, autocommit: bool = True) -> Connection:
        """A session as the superuser."""
        return fingerprints.connect(self.conninfo(database), autocommit=autocommit)

    def said(self) -> str:
        """The server's log until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def last_write(self) -> str:
        """When the last transaction was committed that recovery replayed; empty without any."""
        found = LAST_WRITE.findall(self.said())
        return datetime.fromisoformat(found[-1]).isoformat(timespec="seconds") if found else ""


@contextlib.contextmanager
def running(
    settings: Settings,
    folder: Path,
    *,
    env: Mapping[str, str],
    restore_command: str,
    target: Target,
    lasting: bool,
    progress: Progress = silent,
    user: User | None = None,
) -> Iterator[Server]:
    """Recover what is in a folder, and stop the server at the end: cleanly where it shall last.

    Raises EndedEarly when the archive has too little, Failed with the server's own last words.
    """
    sockets = Path(tempfile.mkdtemp(prefix="slipway-"))
    try:
        (folder / "recovery.signal").touch()
        _prepare(sockets)
        if user and os.geteuid() == 0:
            for each in (sockets, *sockets.iterdir(), folder / "recovery.signal"):
                os.chown(each, user.user, user.group)
        options = _options(sockets, restore_command, target, lasting=lasting)
        log = sockets / "log"
        with log.open("wb") as said:
            other = user if os.geteuid() == 0 else None
            child = subprocess.Popen(
                [*process.TIED, str(BINARIES / "postgres"), "-D", str(folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=process.environment(env),
                cwd="/",
                user=other.user if other else None,
                group=other.group if other else None,
                extra_groups=other.groups if other else None,
            )
        server = Server(folder, sockets, child, log, settings.database_name)
        try:
            _wait(server, progress)
            yield server
        finally:
            _stop(server, "fast" if lasting else "immediate", user)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _prepare(sockets: Path) -> None:
    # The folder's own settings may name what is not here: extensions of others, places of files.
    (sockets / "postgresql.conf").write_text("", encoding="utf-8")
    (sockets / "pg_ident.conf").write_text("", encoding="utf-8")
    # The folder of the socket lets nobody else in, and there is no other way.
    (sockets / "pg_hba.conf").write_text("local all all trust\n", encoding="utf-8")


def _options(
    sockets: Path, restore_command: str, target: Target, *, lasting: bool
) -> Sequence[str]:
    wanted = {
        "config_file": str(sockets / "postgresql.conf"),
        "hba_file": str(sockets / "pg_hba.conf"),
        "ident_file": str(sockets / "pg_ident.conf"),
        "unix_socket_directories": str(sockets),
        "listen_addresses": "",
        "ssl": "off",
        "archive_mode": "off",
        # Without this the server wants as many connections as the one that was copied.
        "hot_standby": "off",
        "restore_command": restore_command,
        "shared_buffers": "64MB",
        "maintenance_work_mem": "128MB",
        "max_parallel_maintenance_workers": "0",
        "autovacuum": "off",
        "synchronous_standby_names": "",
        "shared_preload_libraries": "",
        # What was restored from the archive, and what was missing, is read there.
        "log_min_messages": "log",
        "fsync": "on" if lasting else "off",
        **target.settings,
    }
    return [word for name, value in wanted.items() for word in ("-c", f"{name}={value}")]


def _wait(server: Server, progress: Progress) -> None:
    """Wait until recovery has ended, which is when the server takes a session."""
    began = time.monotonic()
    while True:
        if server.child.poll() is not None:
            raise _failure(server.said())
        with contextlib.suppress(psycopg.OperationalError), server.connect(SUPERUSER):
            server.seconds = time.monotonic() - began
            return
        replayed = RESTORED.findall(server.said())
        progress(0.5, f"replaying the log{f', {replayed[-1]}' if replayed else ''}")
        time.sleep(0.1)


def _failure(said: str) -> Failed:
    if ENDED_EARLY in said or "WAL ends before end of online backup" in said:
        replayed, missing = RESTORED.findall(said), NOT_FOUND.findall(said)
        return EndedEarly(replayed[-1] if replayed else "", missing[-1] if missing else "")
    if "could not locate required checkpoint record" in said:
        missing = NOT_FOUND.findall(said)
        return EndedEarly("", missing[0] if missing else "")
    reasons = FATAL.findall(said)
    return Failed(f"the restored server did not start: {reasons[-1] if reasons else said[-300:]}")


def _stop(server: Server, mode: str, user: User | None) -> None:
    if server.child.poll() is None:
        # As the server's own user: root may not signal it, for want of yet another power.
        words = [f"--pgdata={server.folder}", f"--mode={mode}", "--no-wait", "stop"]
        process.run([str(BINARIES / "pg_ctl"), *words], user=user)
        try:
            server.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("the restored server did not stop; its files may need recovery") from None
