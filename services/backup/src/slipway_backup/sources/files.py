"""Everything that is not the database: restic keeps it, and a snapshot of it is a point."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway_backup import repositories
from slipway_backup.errors import Failed, WrongKey
from slipway_backup.process import Done, failure, run
from slipway_backup.progress import Progress, silent
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings

#: What a snapshot is marked with that is a recovery point.
POINT = "point"
HOST = "slipway"
NO_REPOSITORY = 10
WRONG_KEY = 12
INCOMPLETE = 3
GONE = "no such file or directory"
#: A repository on another machine that says nothing for so long is away; restic itself tries for a
#: quarter of an hour, and a restore from this machine waited for it.
AWAY_SECONDS = 20.0


@dataclass(frozen=True)
class Snapshot:
    """One snapshot in a repository."""

    id: str
    time: datetime
    tags: tuple[str, ...]
    paths: tuple[str, ...]
    files: int
    bytes: int
    added_bytes: int


@dataclass(frozen=True)
class Listing:
    """The snapshots that can be read, the oldest first, and those that cannot."""

    snapshots: tuple[Snapshot, ...]
    damaged: tuple[str, ...] = ()


def call(
    settings: Settings,
    repository: Repository,
    words: Iterable[str],
    *,
    accept: Sequence[int] = (0,),
    on_line: Callable[[str], None] | None = None,
    env: dict[str, str] | None = None,
    seconds: float | None = None,
) -> Done:
    """Run restic. Raises WrongKey, or Failed with what it said last."""
    options = repositories.restic_options(repository, settings)
    told = repositories.restic(repository, settings) | (env or {})
    argv = ["restic", *options, *words]
    done = run(argv, told, on_line=on_line, accept=range(256), seconds=seconds)
    if done.code in accept:
        return done
    if done.code == WRONG_KEY:
        raise WrongKey(repository.name)
    if done.code == NO_REPOSITORY:
        raise Failed(
            f"{repository.name} does not exist, or cannot be reached: {done.last(1)}",
            "the first point makes it: slipway-backup run",
        )
    raise failure("restic", done)


def exists(settings: Settings, repository: Repository) -> bool:
    """Whether there is a repository that this key opens. Raises WrongKey for another key's."""
    words = ["--no-lock", "cat", "config"]
    done = call(
        settings, repository, words, accept=(0, NO_REPOSITORY), seconds=patience(repository)
    )
    return done.code == 0


def patience(repository: Repository) -> float | None:
    """Seconds for a short call; restic itself tries one that is away for a quarter of an hour."""
    return AWAY_SECONDS if repository.local is None else None


def prepare(settings: Settings, repository: Repository) -> None:
    """Make the repository when there is none; forget the locks of calls that were killed."""
    if not exists(settings, repository):
        call(settings, repository, ["init"], seconds=patience(repository))
    if repository.local is None or any((repository.local / "restic" / "locks").iterdir()):
        # Whoever is here holds the service's own lock: nobody else writes to this repository.
        call(settings, repository, ["unlock", "--remove-all"], seconds=patience(repository))


def backup(
    settings: Settings,
    repository: Repository,
    paths: Sequence[Path],
    tags: Sequence[str],
    progress: Progress = silent,
) -> Snapshot:
    """Snapshot the paths. Raises Failed when a file of them could not be read."""
    marks = [word for tag in tags for word in ("--tag", tag)]
    words = ["--json", "backup", "--host", HOST, *marks, *map(str, paths)]
    summary: dict[str, Any] = {}

    def on_line(line: str) -> None:
        told = _object(line)
        if told.get("message_type") == "status":
            progress(told.get("percent_done", 0.0), "copying files and state")
        elif told.get("message_type") == "summary":
            summary.update(told)

    done = call(settings, repository, words, accept=(0, INCOMPLETE), on_line=on_line)
    unread = unreadable(done.errors)
    if done.code == INCOMPLETE and not told_errors(done.errors):
        unread = [done.last(1)]
    if unread or not summary:
        if summary:
            # Of this very call, and no point by its own words.
            call(settings, repository, ["forget", summary["snapshot_id"]])
        raise Failed(f"files could not be read: {'; '.join(unread[:3]) or done.last()}")
    return Snapshot(
        id=summary["snapshot_id"],
        time=datetime.fromisoformat(summary["backup_start"][:19] + "+00:00"),
        tags=tuple(tags),
        paths=tuple(map(str, paths)),
        files=int(summary["total_files_processed"]),
        bytes=int(summary["total_bytes_processed"]),
        added_bytes=int(summary["data_added_packed"]),
    )


def unreadable(text: str) -> list[str]:
    """What could not be read, by what restic said; a file that went meanwhile is no loss."""
    return [each for each in told_errors(text) if GONE not in each]


def told_errors(text: str) -> list[str]:
    """Every error that restic told of a file."""
    lines = [_object(line) for line in text.splitlines()]
    return [
        str(each["error"].get("message", each["error"]))
        for each in lines
        if each.get("message_type") == "error" and isinstance(each.get("error"), dict)
    ]


def restore(
    settings: Settings,
    repository: Repository,
    snapshot: str,
    source: Path,
    target: Path,
    *,
    only: Sequence[str] = (),
    but: Sequence[str] = (),
    progress: Progress = silent,
) -> None:
    """Restore what was below `source` into `target`, or only some paths below it, or all but."""
    chosen = [word for each in only for word in ("--include", f"/{each}")]
    chosen += [word for each in but for word in ("--exclude", f"/{each}")]
    words = ["--json", "--no-lock", "restore", f"{snapshot}:{source}", "--target", str(target)]

    def on_line(line: str) -> None:
        told = _object(line)
        if told.get("message_type") == "status":
            progress(told.get("percent_done", 0.0), "restoring files")

    call(settings, repository, [*words, *chosen], on_line=on_line)


def verify(settings: Settings, repository: Repository, *, read_data: bool = False) -> list[str]:
    """What restic finds wrong with a repository; empty when nothing is."""
    words = ["--no-lock", "check", *(["--read-data"] if read_data else [])]
    done = call(settings, repository, words, accept=(0, 1))
    if done.code == 0:
        return []
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()]
    return [line for line in lines if "error" in line.lower()] or [done.last()]


def snapshots(settings: Settings, repository: Repository, tag: str = "") -> Listing:
    """What is in a repository; restic passes over what it cannot read and ends with 0."""
    words = ["--json", "--no-lock", "snapshots", *(["--tag", tag] if tag else [])]
    done = call(settings, repository, words, seconds=patience(repository))
    made = sorted((_snapshot(each) for each in json.loads(done.output)), key=lambda it: it.time)
    damaged = tuple(line for line in done.errors.splitlines() if line.startswith("Ignoring"))
    return Listing(tuple(made), damaged)


def read(settings: Settings, repository: Repository, snapshot: str, path: str) -> str:
    """The text of one file in a snapshot."""
    return call(settings, repository, ["--no-lock", "dump", snapshot, path]).output


def names(settings: Settings, repository: Repository, snapshot: str, folder: Path) -> set[str]:
    """The names of all files below a folder of a snapshot."""
    found: set[str] = set()

    def on_line(line: str) -> None:
        told = _object(line)
        if told.get("type") == "file":
            found.add(str(told["name"]))

    words = ["--json", "--no-lock", "ls", "--recursive", snapshot, str(folder)]
    call(settings, repository, words, on_line=on_line)
    return found


def forget(settings: Settings, repository: Repository, ids: Sequence[str]) -> None:
    """Remove these snapshots, and what only they hold."""
    if ids:
        call(settings, repository, ["forget", "--prune", *ids])


def copy(settings: Settings, source: Repository, target: Repository, snapshot: str) -> None:
    """Copy a snapshot into another repository of the same key."""
    told = repositories.restic(source, settings)
    env = {
        "RESTIC_FROM_REPOSITORY": told["RESTIC_REPOSITORY"],
        "RESTIC_FROM_PASSWORD": told["RESTIC_PASSWORD"],
    }
    env |= {key: value for key, value in told.items() if key.startswith("AWS_")}
    # The command line tells where from, the environment with which pass phrase.
    call(settings, target, ["copy", snapshot], env=env)


def _snapshot(each: dict[str, Any]) -> Snapshot:
    summary = each.get("summary") or {}
    return Snapshot(
        id=each["id"],
        time=datetime.fromisoformat(each["time"][:19] + "+00:00"),
        tags=tuple(each.get("tags") or ()),
        paths=tuple(each["paths"]),
        files=int(summary.get("total_files_processed", 0)),
        bytes=int(summary.get("total_bytes_processed", 0)),
        added_bytes=int(summary.get("data_added_packed", 0)),
    )


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
