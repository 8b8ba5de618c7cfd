"""What the backup service of an environment says: its points, its archive, its repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from slipway.commands import backup as commands
from slipway.errors import SlipwayError
from slipway.run import run

LIST_SECONDS = 60


@dataclass(frozen=True)
class Verified:
    """When a point was proved last, in seconds, whether it held, and what was done to it."""

    at: float
    ok: bool
    what: str


@dataclass(frozen=True)
class Point:
    """A recovery point: one moment of database, files and state that belong together.

    `time` is in seconds; `repositories` are the numbers of those that have it.
    """

    id: str
    time: float
    kind: str
    size: int
    repositories: tuple[int, ...] = (1,)
    verified: Verified | None = None
    lsn: str = ""
    release: Mapping[str, Any] | None = None
    name: str = ""


@dataclass(frozen=True)
class Owner:
    """Whose a repository is, by its newest point: the platform's project, and the images by name.

    Empty where that cannot be read.
    """

    platform: str = ""
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Points:
    """Every point, the oldest first; how new the archive is, and what the repository holds.

    `behind` is in seconds, `archived` the moment up to which the archive goes, None without any;
    `damaged` are sentences about what could not be read.
    """

    points: tuple[Point, ...] = ()
    archived: float | None = None
    behind: float | None = None
    bytes: int = 0
    free: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def newest(self) -> Point | None:
        """The newest point."""
        return self.points[-1] if self.points else None

    def named(self, wanted: str) -> Point | None:
        """The point with this id, or the newest one where `latest` is asked for."""
        if wanted == "latest":
            return self.newest
        return next((each for each in self.points if each.id == wanted), None)


def read(container: str) -> Points | None:
    """What the service in this container says; None when it does not answer."""
    try:
        done = run(commands.points(container), check=False, timeout=LIST_SECONDS)
    except SlipwayError:
        return None
    if done.exit_code != 0:
        return None
    try:
        return parse(answer(done.output))
    except (KeyError, TypeError, ValueError):
        return None


def answer(output: str) -> dict[str, Any]:
    """The answer in what a verb printed: the last line that is an object and no progress."""
    for line in reversed(output.splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and "progress" not in said:
            return said
    raise ValueError("no answer")


def parse(said: Mapping[str, Any]) -> Points:
    """The points in the answer to `list`."""
    archive, repository = said.get("archive") or {}, said.get("repository") or {}
    found = [_point(each) for each in said["points"]]
    newest = archive.get("newest")
    return Points(
        points=tuple(sorted(found, key=lambda each: (each.time, each.id))),
        archived=None if newest is None else seconds(newest),
        behind=archive.get("behind_seconds"),
        bytes=int(repository.get("bytes") or 0),
        free=int(repository.get("free_bytes") or 0),
        damaged=tuple(str(each) for each in said.get("damaged") or ()),
    )


def owner(said: Mapping[str, Any]) -> Owner:
    """Whose the repository is that was looked at."""
    told = said.get("of") or {}
    return Owner(str(told.get("platform", "")), dict(told.get("images") or {}))


def seconds(moment: str | float) -> float:
    """A moment as the service writes it, in seconds; one without a zone is UTC."""
    if isinstance(moment, int | float):
        return float(moment)
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _point(said: Mapping[str, Any]) -> Point:
    verified = said.get("verified")
    return Point(
        id=str(said["id"]),
        time=seconds(said["time"]),
        kind=str(said["kind"]),
        size=int(said.get("size_bytes") or 0),
        repositories=tuple(said.get("repositories") or ()),
        verified=(
            None
            if verified is None
            else Verified(seconds(verified["at"]), bool(verified["ok"]), str(verified["what"]))
        ),
        lsn=str(said.get("lsn") or ""),
        release=said.get("release"),
        name=str(said.get("name") or ""),
    )
