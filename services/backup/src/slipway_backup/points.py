"""Recovery points: what one names, and which there are. The list is the repository itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway_backup import history, repositories, wal
from slipway_backup.errors import Failed, Refused, WrongKey
from slipway_backup.fingerprints import Fingerprint
from slipway_backup.fingerprints import read as read_fingerprints
from slipway_backup.repositories import Repository
from slipway_backup.settings import STANZA, Settings
from slipway_backup.sources import files
from slipway_backup.sources.database import Copy
from slipway_backup.sources.files import Snapshot

FILE = "point.json"
LATEST = "latest"


@dataclass(frozen=True)
class Point:
    """One moment that can be gone back to: what belongs together, by name."""

    id: str
    time: str
    kind: str
    name: str
    #: member, lsn,
    #: restore_point, timeline, first_segment, last_segment, bytes, labels by repository
    database: dict[str, Any]
    #: count, bytes, deleted
    files: dict[str, Any]
    release: dict[str, Any]
    schema: str
    extensions: dict[str, str]
    indexes: list[str]
    fingerprints: dict[str, dict[str, Any]]
    passage: dict[str, Any] | None = None
    format: int = 1

    @property
    def when(self) -> datetime:
        """Its moment."""
        return datetime.fromisoformat(self.time)

    def label(self, repository: Repository) -> str:
        """What pgBackRest calls its copy there. Raises Failed where there is none."""
        if not (found := self.named(repository)):
            raise Failed(f"point {self.id} has no copy of the database in {repository.name}")
        return found

    def named(self, repository: Repository) -> str:
        """What pgBackRest calls its copy there, or an empty text.

        A copy of another machine's repository goes on calling it as it did there.
        """
        labels = {number: str(label) for number, label in self.database["labels"].items()}
        own = labels.get(str(repository.number), "")
        if repository.local is None:
            return own
        copies = repository.local / "pgbackrest/backup" / STANZA
        there = [label for label in (own, *labels.values()) if label and (copies / label).is_dir()]
        return there[0] if there else own

    @property
    def tables(self) -> dict[str, Fingerprint]:
        """The fingerprints of its tables."""
        return read_fingerprints(self.fingerprints)


@dataclass(frozen=True)
class Stored:
    """A point as one repository has it."""

    point: Point
    snapshot: Snapshot
    repository: Repository


@dataclass(frozen=True)
class Listed:
    """The points of a repository, the oldest first, and what in it cannot be read."""

    points: tuple[Stored, ...]
    damaged: tuple[str, ...] = field(default=())


def new_id(now: datetime) -> str:
    """A name that sorts by time and that nobody else makes."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def write(settings: Settings, point: Point) -> Path:
    """Write the point's JSON to where its snapshot takes it from."""
    path = settings.work_directory / "point" / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(point), sort_keys=True, indent=1), encoding="utf-8")
    return path


def parse(text: str) -> Point:
    """A point of its JSON. Raises Failed when that is cut short, or is no point."""
    try:
        return Point(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise Failed(f"a point's {FILE} is not whole: {error}") from None


def read(settings: Settings, repository: Repository) -> Listed:
    """The points of a repository. One whose JSON cannot be read is told among the damaged."""
    listing = files.snapshots(settings, repository, files.POINT)
    found, damaged = [], list(listing.damaged)
    for snapshot in listing.snapshots:
        try:
            found.append(Stored(_point(settings, repository, snapshot), snapshot, repository))
        except Failed as error:
            damaged.append(f"snapshot {snapshot.id[:8]}: {error}")
    return Listed(tuple(found), tuple(damaged))


def find(settings: Settings, wanted: str) -> Stored:
    """The point of this name or id, or the newest, from the first repository that has it."""
    said: list[str] = []
    for _, listed in reachable(settings):
        chosen = choose(listed, wanted)
        if chosen is not None:
            return chosen
        said += [each.point.id for each in listed]
    if not said:
        raise Refused("there is no point yet", "take one: slipway-backup run")
    raise Refused(
        f"there is no point {wanted!r}; the newest are {', '.join(sorted(set(said))[-3:])}",
        "slipway-backup list",
    )


def reachable(settings: Settings) -> list[tuple[Repository, tuple[Stored, ...]]]:
    """The points of every repository that answers; Failed when none does.

    One that another key is for is an error, whatever the others say.
    """
    found, away = [], []
    for repository in repositories.all_of(settings):
        try:
            found.append((repository, read(settings, repository).points))
        except WrongKey:
            raise
        except Failed as error:
            away.append(error)
    if not found:
        raise away[0]
    return found


def choose(listed: Sequence[Stored], wanted: str) -> Stored | None:
    """The point that is meant by an id, a name or `latest`."""
    if wanted == LATEST:
        return listed[-1] if listed else None
    for each in reversed(listed):
        if wanted in {each.point.id, each.point.name} and wanted:
            return each
    return None


def gaps(stored: Stored, copies: Collection[Copy], have: set[str]) -> list[str]:
    """What a point's repository does not have of what it takes to restore its database."""
    own, label = stored.point, stored.point.label(stored.repository)
    copy = next((each for each in copies if each.label == label), None)
    if copy is None:
        return [f"point {own.id}: its copy of the database, {label}, is missing"]
    # Each repository has a copy of its own, which begins at a place of its own in the log.
    gone = wal.missing(copy.start_segment, own.database["last_segment"], have)
    return [f"point {own.id}: the log's file {each} is missing" for each in gone]


def lost(settings: Settings, listed: Sequence[Stored]) -> list[str]:
    """The points that were taken, were not removed by retention, and are not there any more."""
    there = {each.point.id for each in listed}
    taken: dict[str, None] = {}
    for line in history.read(settings, "run", "removed"):
        if line["kind"] == "run" and line.get("ok"):
            taken[str(line["point"])] = None
        for each in line.get("removed", ()):
            taken.pop(each, None)
    return [each for each in taken if each not in there]


def _point(settings: Settings, repository: Repository, snapshot: Snapshot) -> Point:
    # What a snapshot holds never changes, so it is read once; the copy is of no use to others.
    cached = settings.work_directory / "points" / f"{repository.number}-{snapshot.id}.json"
    try:
        return parse(cached.read_text(encoding="utf-8"))
    except (OSError, Failed):
        pass
    path = next((each for each in snapshot.paths if each.endswith(f"/{FILE}")), "")
    text = files.read(settings, repository, snapshot.id, path)
    point = parse(text)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(text, encoding="utf-8")
    except OSError:
        pass
    return point
