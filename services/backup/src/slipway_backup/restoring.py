"""Restoring a point or a time into folders that a server will begin with."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway_backup import history, points, recovery, timelines, wal
from slipway_backup.errors import Failed, Refused
from slipway_backup.points import Stored
from slipway_backup.process import User
from slipway_backup.progress import Progress, part, silent
from slipway_backup.recovery import EndedEarly, Server, Target
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files

#: Left behind by a member, and wrong for what was restored: where it was, and what it was told.
LEFT_BEHIND = ("patroni.dynamic.json", "standby.signal", "recovery.signal", "postmaster.pid")
RESUMED = ".slipway-restore"


@dataclass(frozen=True)
class Choice:
    """What is restored: a copy of the database, how far its log goes, and the files' point."""

    repository: Repository
    label: str
    target: Target
    stored: Stored | None
    time: str = ""


@dataclass
class Restored:
    """What was restored, and how long it took."""

    choice: Choice
    seconds: dict[str, float] = field(default_factory=dict)
    files: int = 0
    reached: str = ""
    last_write: str = ""


def of_point(stored: Stored) -> Choice:
    """A point, out of the repository that it was found in."""
    held = stored.point.database
    target = Target(name=held["restore_point"], timeline=str(held["timeline"]))
    return Choice(stored.repository, stored.point.label(stored.repository), target, stored)


def choose(settings: Settings, *, point: str = "", to: str = "") -> Choice:
    """What a point, a time or `latest` asks for. Raises Refused when there is nothing for it."""
    if point:
        return of_point(points.find(settings, point))
    wanted = None if to == points.LATEST else moment(to)
    for repository, listed in points.reachable(settings):
        known = timelines.read(settings, repository)
        timeline = known.of(listed, wanted, timelines.restores(settings))
        copies = [
            copy
            for copy in database.copies(settings, repository)
            if (wanted is None or copy.stopped <= wanted) and known.leads(copy, timeline)
        ]
        if copies:
            target = Target(time=wanted.isoformat() if wanted else "", timeline=str(timeline))
            stored_then = with_files(listed, wanted)
            if stored_then is None:
                raise Refused(
                    f"{repository.name} has a copy of the database and no recovery point, so no"
                    " files that belong to it; nothing was overwritten",
                    "slipway-backup list",
                )
            return Choice(repository, copies[-1].label, target, stored_then, to)
    raise Refused(
        f"no copy of the database is from before {to}", "choose a later time: slipway-backup list"
    )


def moment(text: str) -> datetime:
    """A time with its zone. Raises Refused for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"{text!r} is no time", "write it like 2026-11-29T14:30:00+00:00, or say latest"
        ) from None
    if found.tzinfo is None:
        raise Refused(f"{text} names no zone", f"write {text}Z if it is UTC")
    return found


def with_files(listed: Sequence[Stored], wanted: datetime | None) -> Stored | None:
    """The point that has all files of a time: the first one after it, else the newest.

    Files are named by their content and added only, so that a later point has the earlier ones.
    """
    after = [each for each in listed if wanted is not None and each.point.when >= wanted]
    return after[0] if after else (listed[-1] if listed else None)


def restore(
    settings: Settings,
    choice: Choice,
    data: Path,
    *,
    into: Path | None = None,
    owner: User | None = None,
    progress: Progress = silent,
) -> Restored:
    """Restore the database into `data`, recovered and stopped cleanly, and files into `into`.

    Killed at any moment, the same call goes on: equal files are kept. Raises Refused when a
    server runs on `data`, and when what the point needs is not there: nothing was overwritten then.
    """
    began = time.monotonic()
    done = Restored(choice)
    require_point(settings, choice)
    with _alone(data, owner):
        fetch(settings, choice, data, owner, done, part(progress, 0.0, 0.6))
        with (
            numbered(settings, choice, data, owner),
            recovered(
                settings, choice, data, lasting=True, owner=owner, progress=part(progress, 0.6, 0.8)
            ) as (server, reached),
        ):
            done.reached = reached
            done.last_write = server.last_write()
            done.seconds["recovery"] = round(server.seconds, 1)
        for name in LEFT_BEHIND:
            (data / name).unlink(missing_ok=True)
        (data.parent / RESUMED).unlink(missing_ok=True)
    if into is not None and choice.stored is not None:
        step = time.monotonic()
        files.restore(
            settings,
            choice.repository,
            choice.stored.snapshot.id,
            settings.files_directory,
            into,
            progress=part(progress, 0.8, 1.0),
        )
        done.files = choice.stored.point.files["count"]
        done.seconds["files"] = round(time.monotonic() - step, 1)
    done.seconds["all"] = round(time.monotonic() - began, 1)
    history.append(settings, "restore", ok=True, **told(done))
    progress(1.0, "done")
    return done


def require_point(settings: Settings, choice: Choice) -> None:
    """Refuse a point that cannot be reached, while there still is what would be overwritten."""
    if not choice.target.name or choice.stored is None:
        return
    copies = database.copies(settings, choice.repository)
    have = database.archived(settings, choice.repository)
    if gone := points.gaps(choice.stored, copies, have):
        raise Refused(
            f"{'; '.join(gone[:3])}; nothing was overwritten",
            "choose another point or an earlier time: slipway-backup list",
        )


def fetch(
    settings: Settings,
    choice: Choice,
    data: Path,
    owner: User | None,
    done: Restored,
    progress: Progress,
) -> None:
    """Bring a copy's files into a folder."""
    step = time.monotonic()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if owner and os.geteuid() == 0:
        os.chown(data, owner.user, owner.group)
    (data / "postmaster.pid").unlink(missing_ok=True)
    database.restore(settings, choice.repository, choice.label, data, progress, owner)
    done.seconds["copy"] = round(time.monotonic() - step, 1)


@contextmanager
def numbered(settings: Settings, choice: Choice, data: Path, owner: User | None) -> Iterator[None]:
    """Have the server that recovers begin a timeline whose number nobody has used yet.

    It looks for the files of timelines in its own log's folder too, and for no more than whether
    they are there.
    """
    folder = data / "pg_wal"
    numbers = timelines.unnamed(settings, choice.repository, int(choice.target.timeline))
    names = [folder / f"{number:08X}.history" for number in numbers]
    for name in names:
        name.touch()
        if owner and os.geteuid() == 0:
            os.chown(name, owner.user, owner.group)
    try:
        yield
    finally:
        for name in names:
            name.unlink(missing_ok=True)


@contextmanager
def recovered(
    settings: Settings,
    choice: Choice,
    data: Path,
    *,
    lasting: bool,
    owner: User | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[Server, str]]:
    """A server on a copy's files that has replayed the log as far as was chosen."""
    env = database.told(settings, [choice.repository], user=owner) | {
        "PGBACKREST_PG1_PATH": str(data)
    }
    common: dict[str, Any] = {
        "env": env,
        "restore_command": database.restore_command(choice.repository),
        "lasting": lasting,
        "progress": progress,
        "user": owner,
    }
    try:
        # As it is beforehand: where the database goes on, so does its archive meanwhile.
        ends = not (choice.target.name or choice.target.time)
        have = _archived(settings, choice) if ends else set()
        with recovery.running(settings, data, target=choice.target, **common) as server:
            require_end(server.said(), have)
            yield server, choice.target.name or choice.target.time or "the end of the archive"
            return
    except EndedEarly as error:
        if not choice.target.time or not _is_whole(error.last, _archived(settings, choice)):
            raise
    # Nothing was written after that time and everything before it is there: the end of the
    # archive is what was asked for.
    whole = replace(choice.target, time="")
    have = _archived(settings, choice)
    with recovery.running(settings, data, target=whole, **common) as server:
        require_end(server.said(), have)
        yield server, "the end of the archive"


def require_end(said: str, have: Collection[str]) -> None:
    """Refuse an end of the archive that is none, by what the server said and what is there.

    To PostgreSQL a file that cannot be fetched, for whatever reason, is the end of the log.
    """
    # Its end is read once more when it was found, which may be in the file before the last.
    last = max(recovery.RESTORED.findall(said), key=wal.position, default="")
    if not have or _is_whole(last, have):
        return
    reached = recovery.LAST_WRITE.findall(said)
    when = f"--to {reached[-1].replace(' ', 'T')}" if reached else "an earlier time"
    raise Failed(
        f"the recovery ended with {last or 'the copy'}, and the archive has later files, up to"
        f" {max(have, key=wal.position)}: one between them is missing, or could not be fetched",
        f"the same again, or what was reached: {when}",
    )


def _is_whole(last: str, have: Collection[str]) -> bool:
    """Whether the archive has nothing of the timeline after the last file that was replayed."""
    return bool(last) and all(wal.position(name) <= wal.position(last) for name in have)


def _archived(settings: Settings, choice: Choice) -> set[str]:
    timeline = f"{int(choice.target.timeline):08X}"
    return database.archived(settings, choice.repository, timeline)


@contextmanager
def _alone(data: Path, owner: User | None) -> Iterator[None]:
    """Hold the lock that a server holds on its volume, so that none starts meanwhile."""
    data.parent.mkdir(parents=True, exist_ok=True)
    path = data.parent / "lock"
    with path.open("a+") as handle:
        if owner and os.geteuid() == 0:
            os.fchown(handle.fileno(), owner.user, owner.group)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"a server runs on {data}, or another restore is at work there",
                "stop it first; nothing was touched",
            ) from None
        strangers = [each.name for each in data.iterdir()] if data.is_dir() else []
        resumed = (data.parent / RESUMED).exists()
        if strangers and not resumed and "PG_VERSION" not in strangers:
            raise Refused(f"{data} holds something else: {', '.join(strangers[:3])}", "empty it")
        if resumed and not {"PG_VERSION", "backup.manifest"} & set(strangers):
            # Killed before pgBackRest had written what it knows its own folder by.
            shutil.rmtree(data, ignore_errors=True)
        (data.parent / RESUMED).touch()
        yield


def told(done: Restored) -> dict[str, Any]:
    """What is said of a restore."""
    stored = done.choice.stored
    return {
        "point": stored.point.id if stored else None,
        "label": done.choice.label,
        "repository": done.choice.repository.number,
        "reached": done.reached,
        "last_write": done.last_write,
        "files": done.files,
        "seconds": done.seconds,
    }


def owner_of(data: Path, given: str = "") -> User | None:
    """Whom a volume's files belong to: whoever was given by number, else its own owner.

    None where this process is nobody special. Raises Refused where there is no folder.
    """
    if os.geteuid() != 0:
        return None
    if given:
        user = int(given.split(":", maxsplit=1)[0])
        return User(user, user, (user, _group()))
    place = data if data.exists() else data.parent
    if not place.exists():
        raise Refused(f"{place} is not there", "mount the volume of the database there")
    found = place.stat()
    if found.st_uid == 0:
        raise Failed(f"{place} belongs to root, who runs no database", "say --owner 10003")
    return User(found.st_uid, found.st_gid, (found.st_gid, _group()))


def _group() -> int:
    """The group that the key's file and the repository let in."""
    return int(os.environ.get("SLIPWAY_BACKUP_GROUP", "10006"))
