"""The log: received as it is written, and every finished file of it archived at once."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess  # nosec B404
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from slipway_backup import connection, history, lock, logs, process, queues, repositories
from slipway_backup.errors import BackupError, Failed
from slipway_backup.fingerprints import Connection
from slipway_backup.repositories import Repository
from slipway_backup.settings import BINARIES, ROLE, Settings

SLOT = ROLE
POLL_SECONDS = 0.2
#: Whoever lasts so long does receive; a wrong password ends it at once.
SETTLED_SECONDS = 5
#: What pg_receivewal says where the spool goes on from something that this server never had.
ELSEWHERE = (
    "is not in this server's history",
    "is ahead of the WAL flush position",
    "has already been removed",
    "could not find any WAL file",
)


class Receiver:
    """Keeps one pg_receivewal running, and archives what it has finished in every repository.

    Whoever takes points uses it too, where no service runs.
    """

    def __init__(
        self, settings: Settings, prepare: Callable[[Repository], None] | None = None
    ) -> None:
        self._settings = settings
        self._prepare = prepare
        self._prepared: set[int] = set()
        self._stop = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._state: dict[str, Any] = {
            "receiving": False,
            "error": "",
            "elsewhere": "",
            "away_since": _now(),
        }
        self._histories: set[str] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin; nothing is waited for."""
        self._settings.spool.mkdir(parents=True, exist_ok=True)
        queues.forget_others(self._settings)
        for work in (self._receive, self._hand_out, self._switch):
            self._begin(work, "error")
        for place in repositories.all_of(self._settings):
            told = "error" if place.number == repositories.FIRST else "elsewhere"
            self._begin(partial(self._archive, place), told)

    def stop(self) -> None:
        """End, after what is finished in the spool was archived in the first repository."""
        self._stop.set()
        if self._child and self._child.poll() is None:
            self._child.terminate()
        for thread in self._threads:
            thread.join(timeout=20)
        with contextlib.suppress(BackupError, OSError):
            self._give()
            self._empty(repositories.all_of(self._settings)[0])

    def _begin(self, work: Callable[[], None], told: str) -> None:
        thread = threading.Thread(target=self._guard, args=(work, told), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guard(self, work: Callable[[], None], told: str) -> None:
        pause = 1.0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                work()
            except (BackupError, OSError, psycopg.Error) as error:
                text = str(error).strip()
                if text != self._state[told]:
                    logs.log("warning", "the log is not archived", reason=text)
                self._tell(**{told: text})
            pause = 1.0 if time.monotonic() - began > 30 else min(pause * 2, 15.0)
            self._stop.wait(pause)

    # receiving

    def _receive(self) -> None:
        self._ready(repositories.all_of(self._settings)[0])
        self._settle()
        argv = [
            str(BINARIES / "pg_receivewal"),
            f"--directory={self._settings.spool}",
            f"--slot={SLOT}",
            "--no-loop",
            "--status-interval=2",
            f"--dbname={connection.conninfo(self._settings, password=False)}",
        ]
        env = {"PGPASSWORD": self._settings.backup_password}
        self._child = child = process.start(argv, env)
        self._tell(receiving=True, error="")
        try:
            said = self._settled(child)
        finally:
            away = {} if self._state["away_since"] else {"away_since": _now()}
            self._tell(receiving=False, **away)
        if self._stop.is_set():
            return
        if any(text in said for text in ELSEWHERE):
            queues.set_aside(self._settings)
        # The last line is that it ended; why is in the one before.
        raise Failed(f"pg_receivewal ended: {'; '.join(said.strip().splitlines()[-2:])}")

    def _ready(self, place: Repository) -> None:
        """Have a repository that can be archived to; nobody waits for one that is away but it."""
        if self._prepare and place.number not in self._prepared:
            self._prepare(place)
            self._prepared.add(place.number)

    def _settled(self, child: subprocess.Popen[str]) -> str:
        """Wait for a receiver to end; what it said."""
        try:
            return child.communicate(timeout=SETTLED_SECONDS)[1]
        except subprocess.TimeoutExpired:
            self._tell(away_since=None)
        return child.communicate()[1]

    def _settle(self) -> None:
        """Have a slot, and a spool that goes on from where the slot is."""
        queues.forget_torn(self._settings)
        with connection.connect(self._settings) as session:
            row = session.execute(
                b"SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'slipway_backup'"
            ).fetchone()
            if row is not None and row["wal_status"] == "lost":
                # More was written than the server keeps for anybody. Points from now on are whole.
                logs.log("error", "a part of the log was lost: the slot was away for too long")
                history.append(self._settings, "gap", ok=False)
                session.execute(b"SELECT pg_drop_replication_slot('slipway_backup')")
                row = None
            if row is None:
                # Another server, or one that was restored: it never had what the spool ends with.
                queues.set_aside(self._settings)
                session.execute(
                    b"SELECT pg_create_physical_replication_slot('slipway_backup', true)"
                )

    # archiving

    def _hand_out(self) -> None:
        while not self._stop.is_set():
            self._give()
            self._stop.wait(POLL_SECONDS)

    def _give(self) -> None:
        given = queues.hand_out(self._settings, self._histories)
        self._histories |= {name for name in given if queues.HISTORY.match(name)}

    def _archive(self, place: Repository) -> None:
        if place.number != repositories.FIRST:
            self._ready(place)
        while not self._stop.is_set():
            self._empty(place)
            self._stop.wait(POLL_SECONDS)

    def _empty(self, place: Repository) -> None:
        for name in queues.archive(self._settings, place):
            if place.number != repositories.FIRST:
                self._tell(elsewhere="")
            elif queues.WHOLE.match(name):
                self._tell(segment=name, archived_at=_now(), error="")

    # switching

    def _switch(self) -> None:
        """Have a file of the log finished soon after a write, also where few are made."""
        with connection.connect(self._settings) as session:
            done = ""
            since = 0.0
            while not self._stop.is_set():
                transactions = written(session)
                if transactions == done:
                    self._tell(behind_since=None)
                elif not since:
                    since = time.monotonic()
                    self._tell(behind_since=_now())
                elif time.monotonic() - since >= self._settings.switch_seconds:
                    segment = switch(session)
                    if not self._wait_for(segment):
                        raise Failed(f"{segment} was finished and is not archived yet")
                    done, since = transactions, 0.0
                self._stop.wait(1)

    def _wait_for(self, segment: str) -> bool:
        deadline = time.monotonic() + 60
        while not self._stop.is_set() and time.monotonic() < deadline:
            if str(self._state.get("segment", ""))[8:] >= segment[8:]:
                return True
            self._stop.wait(POLL_SECONDS)
        return False

    def _tell(self, **changes: Any) -> None:
        self._state |= changes
        self._state["at"] = _now()
        path = state_path(self._settings)
        new = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.new")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(self._state), encoding="utf-8")
            new.replace(path)


@contextlib.contextmanager
def receiving(settings: Settings) -> Iterator[None]:
    """The log is received: by the service where one runs, else by this process meanwhile."""
    path = settings.work_directory / "receiver.lock"
    if not lock.is_free(path):
        yield
        return
    with lock.held(path, "receives the log"):
        receiver = Receiver(settings)
        receiver.start()
        try:
            yield
        finally:
            receiver.stop()


def written(session: Connection) -> str:
    """A text that changes with every transaction that writes."""
    row = session.execute(b"SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS x").fetchone()
    assert row is not None
    return str(row["x"])


def switch(session: Connection) -> str:
    """Finish the log's file of this moment, and name the last one that is finished.

    Where nothing was written since the last switch, the server tells where the next file begins.
    """
    row = session.execute(b"SELECT pg_walfile_name(pg_switch_wal() - 1) AS segment").fetchone()
    assert row is not None
    return str(row["segment"])


def state_path(settings: Settings) -> Path:
    """Where the receiver tells how it is."""
    return settings.work_directory / "wal.json"


def state(settings: Settings) -> dict[str, Any]:
    """How the receiver is: `receiving`, `error`, `segment`, and since when writes wait.

    `elsewhere` is what keeps the log out of another repository than the first.
    """
    try:
        told = json.loads(state_path(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"receiving": False, "error": "the log was never received", "segment": ""}
    now = datetime.now(UTC)
    since = told.get("behind_since")
    behind = (now - datetime.fromisoformat(since)).total_seconds() if since else 0.0
    silent = (now - datetime.fromisoformat(told["at"])).total_seconds()
    if away := told.get("away_since"):
        # What was written meanwhile nobody here can know of.
        behind = max(behind, (now - datetime.fromisoformat(away)).total_seconds())
    if lock.is_free(settings.work_directory / "receiver.lock"):
        told |= {"receiving": False}
        behind = max(behind, silent)
    return {**told, "behind_seconds": round(behind, 1)}


def segments_between(first: str, last: str) -> list[str]:
    """Every segment's place from one to another, whatever their timelines, inclusive."""
    begin, end = position(first), position(last)
    return [f"{number // 256:08X}{number % 256:08X}" for number in range(begin, end + 1)]


def position(segment: str) -> int:
    """The number of a segment on its way: of 16 MB each, there are 256 to a high number."""
    return int(segment[8:16], 16) * 256 + int(segment[16:24], 16)


def missing(first: str, last: str, have: set[str]) -> list[str]:
    """The places between two segments at which the archive has nothing that leads to the last.

    What was left behind by an earlier restore is at the same places, on timelines from before.
    """
    places = {name[8:] for name in have if first[:8] <= name[:8] <= last[:8]}
    return [place for place in segments_between(first, last) if place not in places]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
