"""The recovery points of an environment as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from slipway.facts.backup import Point, Points
from slipway.plans.progress import duration, size

HEAD = ("point", "when (UTC)", "age", "kind", "size", "where", "release", "verified")
KINDS = {"full": "full", "diff": "differential", "incr": "incremental"}
#: What a repository is called by its number.
PLACES = {1: "here", 2: "off the machine"}


def rows(points: Points, now: float) -> list[tuple[str, ...]]:
    """The points as the rows of a table, the newest last."""
    return [HEAD, *(_row(each, now) for each in points.points)]


def summary(points: Points, now: float) -> list[str]:
    """What the archive and the repository say beside the points."""
    if points.archived is None:
        archive = "no log is archived yet: a restore ends at a point"
    else:
        behind = points.behind if points.behind is not None else now - points.archived
        archive = f"any moment until {moment(points.archived)} UTC can be restored too"
        archive += f" (the archive is {duration(behind)} behind)"
    held = f"the repository holds {size(points.bytes)}, {size(points.free)} are free"
    return [archive, held]


def moment(seconds: float) -> str:
    """A moment in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def described(point: Point, now: float) -> str:
    """A point in one clause."""
    return f"{point.id} of {moment(point.time)} UTC, {duration(now - point.time)} old"


def verified(point: Point, now: float) -> str:
    """When a point was proved last, and whether it held."""
    last = point.verified
    if last is None:
        return "never"
    ago = f"{duration(now - last.at)} ago"
    return f"{last.what}, {ago}" if last.ok else f"FAILED: {last.what}, {ago}"


def _row(point: Point, now: float) -> tuple[str, ...]:
    places = ", ".join(PLACES.get(number, str(number)) for number in point.repositories)
    release = point.release or {}
    version = str(release.get("version") or "-")
    if release.get("generation") is not None:
        version += f" (g{release['generation']})"
    return (
        point.id + (f" {point.name}" if point.name else ""),
        moment(point.time),
        duration(now - point.time),
        KINDS.get(point.kind, point.kind),
        size(point.size),
        places or "-",
        version,
        verified(point, now),
    )
