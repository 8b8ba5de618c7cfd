"""Taking a recovery point: the copy, the exact moment, its log, and the snapshot that names all."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_backup import (
    connection,
    errors,
    frozen,
    history,
    lock,
    logs,
    points,
    repositories,
    retention,
    wal,
)
from slipway_backup import state as ledger
from slipway_backup.errors import BackupError, Failed, Refused
from slipway_backup.frozen import Moment
from slipway_backup.points import Point, Stored
from slipway_backup.policy import Kind
from slipway_backup.progress import Progress, part, silent
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files
from slipway_backup.sources.database import Copy

ARCHIVE_SECONDS = 120
NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True)
class Taken:
    """A point in the first repository, and why it is not in others, by their numbers.

    `damaged`: pages of the server's files had a wrong checksum when they were copied.
    """

    stored: Stored
    missed: dict[int, str]
    damaged: bool = False


@dataclass(frozen=True)
class Held:
    """What is in the folder of uploaded files."""

    count: int
    bytes: int
    names: frozenset[str]


def run(
    settings: Settings,
    kind: Kind = "incr",
    *,
    name: str = "",
    progress: Progress = silent,
    cause: str = "typed",
) -> Taken:
    """Take a recovery point now, and write into the history how it went.

    Raises Refused when one is being taken; a failure leaves every earlier point as it was.
    """
    if not NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name for a point", "use letters, digits, dots, - and _")
    began = time.monotonic()
    with lock.held(settings.work_directory / "run.lock", f"takes a point ({kind})"):
        own = points.new_id(history.now())
        try:
            taken = _take(settings, kind, own, name, progress)
        except (BackupError, *errors.OTHERS) as error:
            failed = errors.own(error)
            seconds = round(time.monotonic() - began, 1)
            told = {"reason": str(failed), "wanted": kind, "seconds": seconds, "cause": cause}
            history.append(settings, "run", ok=False, **told)
            raise failed from error
        stored = taken.stored
        point = stored.point
        fields: dict[str, Any] = {
            "point": point.id,
            "taken": point.kind,
            "wanted": kind,
            "seconds": round(time.monotonic() - began, 1),
            "added_bytes": stored.snapshot.added_bytes + point.database["added_bytes"],
            "cause": cause,
            "missed": {str(number): reason for number, reason in taken.missed.items()},
            "damaged": taken.damaged,
        }
        history.append(settings, "run", ok=True, **fields)
        # From here on the point is whole; what is over the number that is kept may go.
        _make_room(settings)
    progress(1.0, "done")
    return taken


def _make_room(settings: Settings) -> None:
    """Remove what is over the number that is kept. What fails of it fails no point: it is told."""
    before = history.last(settings, "retention")
    try:
        retention.apply(settings)
    except (BackupError, *errors.OTHERS) as error:
        history.append(settings, "retention", ok=False, reason=str(error).strip())
        return
    if before is not None and not before["ok"]:
        history.append(settings, "retention", ok=True)


def _take(settings: Settings, kind: Kind, own: str, name: str, progress: Progress) -> Taken:
    first, *others = repositories.all_of(settings)
    missed: dict[int, str] = {}
    for source in (settings.files_directory, settings.state_directory):
        if not source.is_dir():
            # Without this a point would be taken that has no files, and be called good.
            raise Failed(f"{source} is not there", "mount the volumes of files and state there")
    progress(0.0, "looking at the repositories")
    _prepare(settings, first)
    if name and points.choose(points.read(settings, first).points, name):
        raise Refused(f"there is a point named {name!r} already", "give it another name")
    with wal.receiving(settings):
        share = 0.7 / (1 + len(others))
        steps = part(progress, 0.05, 0.05 + share)
        copies = {first.number: database.backup(settings, first, kind, own, steps)}
        for index, place in enumerate(others, start=1):
            with _apart(place, missed):
                _prepare(settings, place)
                steps = part(progress, 0.05 + share * index, 0.05 + share * (index + 1))
                copies[place.number] = database.backup(settings, place, kind, own, steps)
        progress(0.76, "naming the moment and summing what there is")
        moment = frozen.take(settings, f"slipway-{own}")
        with connection.connect(settings) as session:
            wal.switch(session)
        progress(0.85, "waiting for the log")
        _wait_for_log(settings, first, copies[first.number], moment)
        for place in others:
            if place.number in copies:
                with _apart(place, missed):
                    _wait_for_log(settings, place, copies[place.number], moment)
        held = look(settings.files_directory)
        deleted = _deleted(settings, set(moment.documents) - held.names)
    whole = {number: copy for number, copy in copies.items() if number not in missed}
    point = _point(settings, own, name, moment, whole, held, deleted)
    progress(0.88, "copying files and state")
    stored = _snapshot(settings, first, point, part(progress, 0.88, 0.95))
    for place in others:
        if place.number in whole:
            with _apart(place, missed):
                files.copy(settings, first, place, stored.snapshot.id)
    return Taken(stored, missed, any(copy.damaged for copy in copies.values()))


def _prepare(settings: Settings, place: Repository) -> None:
    with lock.turn(settings.making(place.number)):
        files.prepare(settings, place)
        database.prepare(settings, place)


@contextmanager
def _apart(place: Repository, missed: dict[int, str]) -> Iterator[None]:
    """Go on without another repository than the first where one is away, and tell why.

    What is kept on this machine must not wait for what is not.
    """
    try:
        yield
    except (BackupError, *errors.OTHERS) as error:
        missed[place.number] = str(errors.own(error))
        logs.log("error", "a point is not in every repository", where=place.name, reason=str(error))


def _wait_for_log(settings: Settings, place: Repository, copy: Copy, moment: Moment) -> None:
    """Wait until the archive has all that leads from the copy's beginning to the moment."""
    deadline = time.monotonic() + ARCHIVE_SECONDS
    while True:
        have = database.archived(settings, place)
        gone = wal.missing(copy.start_segment, moment.segment, have)
        if not gone:
            return
        if time.monotonic() > deadline:
            told = "error" if place.number == repositories.FIRST else "elsewhere"
            reason = wal.state(settings).get(told) or "no reason is known"
            raise Failed(
                f"the log's file {gone[0]} did not come into {place.name} in {ARCHIVE_SECONDS} s:"
                f" {reason}",
                "slipway-backup status",
            )
        time.sleep(wal.POLL_SECONDS)


def _point(
    settings: Settings,
    own: str,
    name: str,
    moment: Moment,
    copies: dict[int, Copy],
    held: Held,
    deleted: Iterable[str],
) -> Point:
    first = copies[repositories.FIRST]
    return Point(
        id=own,
        time=history.now().isoformat(timespec="seconds"),
        kind=first.kind,
        name=name,
        database={
            "lsn": moment.lsn,
            "restore_point": f"slipway-{own}",
            "timeline": moment.timeline,
            "first_segment": first.start_segment,
            "last_segment": moment.segment,
            "bytes": first.bytes,
            "added_bytes": first.added_bytes,
            "member": first.member,
            "labels": {str(number): copy.label for number, copy in copies.items()},
        },
        files={
            "count": held.count,
            "bytes": held.bytes,
            "deleted": sorted(deleted),
        },
        release=ledger.release(settings.state_directory),
        schema=moment.schema,
        extensions=moment.extensions,
        indexes=moment.indexes,
        fingerprints={table: print_.told() for table, print_ in moment.fingerprints.items()},
        passage=moment.passage,
    )


def _deleted(settings: Settings, gone: Collection[str]) -> set[str]:
    """Of the files that are not there, those whose documents were deleted meanwhile.

    The others are lost, and a drill of the point says so.
    """
    if not gone:
        return set()
    with connection.connect(settings) as session:
        return set(gone) - set(frozen.documents(session))


def _snapshot(settings: Settings, place: Repository, point: Point, progress: Progress) -> Stored:
    """Write the snapshot that makes all of it a point."""
    written = points.write(settings, point)
    sources = (settings.files_directory, settings.state_directory)
    tags = (files.POINT, f"id={point.id}", f"kind={point.kind}")
    snapshot = files.backup(settings, place, [*sources, written], tags, progress)
    return Stored(point, snapshot, place)


def look(folder: Path) -> Held:
    """Count the files below a folder. Raises Failed where it may not be looked into."""
    count = size = 0
    names: set[str] = set()

    def refuse(error: OSError) -> None:
        raise Failed(
            f"{error.filename} cannot be read: {error.strerror}",
            "the service reads others' files with CAP_DAC_READ_SEARCH: docs/reference/backups.md",
        )

    for place, _, found in os.walk(folder, onerror=refuse if folder.is_dir() else None):
        for name in found:
            try:
                size += (Path(place) / name).lstat().st_size
            except FileNotFoundError:
                continue
            count += 1
            names.add(name)
    return Held(count, size, frozenset(names))
