"""What is wrong, by what was received and what both tools say of it. Nothing here touches anything.

A rule is about what came after `accepted`: what was there before, somebody has looked at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from slipway_backup import wal
from slipway_backup.keeper.store import Line, State
from slipway_backup.points import Stored
from slipway_backup.policy import Keeping
from slipway_backup.settings import STANZA
from slipway_backup.sources.database import SEGMENT, Copy

SNAPSHOTS = "restic/snapshots/"
KEYS = "restic/keys/"
CONFIG = "restic/config"
COPIES = f"pgbackrest/backup/{STANZA}/"
ARCHIVE = f"pgbackrest/archive/{STANZA}/"
#: restic calls these by the SHA-256 of their content.
NAMED = re.compile(r"restic/(?:data/[0-9a-f]{2}|index|snapshots|keys)/(?P<sha256>[0-9a-f]{64})")
#: pgBackRest writes these anew: what there is, and what it has of a copy that is not finished.
WRITTEN_AGAIN = re.compile(r"(?:backup|archive)\.info(?:\.copy)?$|/backup\.manifest\.copy$")
RESTORE = "docs/how-to/keep-backups-from-root.md#restore-after-an-attack"
#: What a point may wait for that arrives after it: the log has a queue of its own.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Problem:
    """Something that somebody has to look at; `about` names what of it is told once."""

    code: str
    sentence: str
    next: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """A point that was whole when it was received."""

    id: str
    name: str
    time: str
    snapshot: str
    label: str
    #: The place in the log that its copy begins at.
    start: str
    received: datetime
    #: The newest receive time at which it was whole.
    at: datetime
    #: Sums up what its copy and its part of the log are made of, none of which ever changes.
    files: str


@dataclass(frozen=True)
class Found:
    """What both tools say of a state."""

    points: tuple[Stored, ...] = ()
    snapshots: Mapping[str, datetime] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()
    archived: frozenset[str] = frozenset()
    #: What restic's check says.
    wrong: tuple[str, ...] = ()
    #: Snapshots that cannot be read, or are no point.
    unreadable: tuple[str, ...] = ()
    #: Why the state could not be opened, and whether it is the key.
    closed: str = ""
    key: bool = False


@dataclass(frozen=True)
class Case:
    """Everything that is judged."""

    versions: Mapping[str, Sequence[Line]]
    state: State
    found: Found
    #: The oldest first.
    known: Sequence[Known]
    whole: frozenset[str]
    now: datetime
    accepted: datetime | None
    policy: Keeping


def problems(case: Case) -> list[Problem]:
    """What is wrong with the state."""
    rules = (key, overwritten, missing, log, times, unfinished)
    return [each for rule in rules for each in rule(case)]


def key(case: Case) -> Iterable[Problem]:
    """A key that does not open what is there any more, or another one beside it."""
    found = case.found
    if found.key:
        yield Problem(
            "key",
            f"the key does not open what is in the landing folder: {found.closed}",
            f"nothing that was kept is touched; find out who changed the key: {RESTORE}",
        )
    elif found.closed and case.known:
        yield Problem("unreadable", f"what arrived cannot be read: {found.closed}", RESTORE)
    if case.accepted is None:
        return
    came = {path: lines[0].at for path, lines in case.versions.items() if path.startswith(KEYS)}
    # The first one came with the repository.
    since = max(case.accepted, min(came.values(), default=case.accepted))
    others = tuple(
        path.removeprefix(KEYS) for path in came if path in case.state and came[path] > since
    )
    if others:
        yield Problem(
            "key",
            f"restic's repository has another key: {few(others)}",
            "no environment adds one: find out who did",
            others,
        )


def overwritten(case: Case) -> Iterable[Problem]:
    """Files with another content than they had, or than their name says."""
    found = tuple(path for path in case.state if _is_overwritten(case, path))
    if found:
        yield Problem(
            "overwritten",
            f"{len(found)} files are not what they were: {few(found)}",
            f"their earlier content is kept: {RESTORE}",
            found,
        )


def _is_overwritten(case: Case, path: str) -> bool:
    line = case.state[path]
    if case.accepted is None or line.at <= case.accepted or WRITTEN_AGAIN.search(path):
        return False
    if NAMED.fullmatch(path):
        return not is_named(path, line)
    # A copy that is begun again may write its files again, until it is finished.
    finished = max(case.accepted, _finished(case, path) or case.accepted)
    before = [each for each in case.versions[path] if each.sha256 and each.at <= finished]
    first = next(each for each in case.versions[path] if each.sha256)
    return (before[-1] if before else first).sha256 != line.sha256


def is_named(path: str, line: Line) -> bool:
    """Whether a file has the content that its name says, where it says one."""
    named = NAMED.fullmatch(path)
    return named is None or named["sha256"] == line.sha256


def _finished(case: Case, path: str) -> datetime | None:
    label = path.removeprefix(COPIES).partition("/")[0] if path.startswith(COPIES) else ""
    lines = case.versions.get(f"{COPIES}{label}/backup.manifest")
    return lines[0].at if lines else None


def missing(case: Case) -> Iterable[Problem]:
    """Points that no rule of an environment's retention removes, and that are not whole any more.

    Retention removes old points, and never the newest. What it writes anew on its way, both tools
    tell whole again.
    """
    if case.found.key:
        return
    by_code: dict[str, list[Known]] = {}
    for point in guarded(case.known, case.now, case.policy):
        if point.id not in case.whole and case.accepted is not None and point.at >= case.accepted:
            by_code.setdefault(_how(case, point), []).append(point)
    said = {
        "deleted": "were deleted, or a part of them",
        "expired": "have no copy of the database any more: it was expired",
        "forgotten": "have no snapshot of the files any more: it was forgotten",
        "spoiled": "are not whole any more",
    }
    for code, points in by_code.items():
        ids = tuple(point.id for point in points)
        yield Problem(
            code,
            f"{len(ids)} points {said[code]}: {few(ids)}"
            + (f" ({few(case.found.wrong)})" if case.found.wrong else ""),
            f"they are kept here: {RESTORE}",
            ids,
        )


def _how(case: Case, point: Known) -> str:
    snapshot = f"{SNAPSHOTS}{point.snapshot}" in case.state
    copied = any(path.startswith(f"{COPIES}{point.label}/") for path in case.state)
    if snapshot and copied:
        return "deleted" if CONFIG not in case.state else "spoiled"
    return "forgotten" if copied else "expired" if snapshot else "deleted"


def guarded(known: Sequence[Known], now: datetime, policy: Keeping) -> list[Known]:
    """The points that nobody has a reason to remove: those received lately, and the newest."""
    since = now - timedelta(days=policy.guarded_days)
    newest = known[-1:]
    return [point for point in known if point.received >= since or point in newest]


def log(case: Case) -> Iterable[Problem]:
    """Files of the log that are gone from after where the newest point begins."""
    if not case.known or case.accepted is None:
        return
    begin = wal.position(case.known[-1].start)
    gone = tuple(
        name
        for path, lines in case.versions.items()
        if (name := segment(path))
        and path not in case.state
        and lines[-1].at > case.accepted
        and wal.position(name) >= begin
    )
    if gone:
        yield Problem(
            "deleted", f"{len(gone)} files of the log were deleted: {few(gone)}", RESTORE, gone
        )


def times(case: Case) -> Iterable[Problem]:
    """Points, snapshots and copies whose own time is not about when they were received."""
    if case.accepted is None:
        return
    said = [(f"{SNAPSHOTS}{each}", when) for each, when in case.found.snapshots.items()]
    said += [(f"{SNAPSHOTS}{each.snapshot.id}", each.point.when) for each in case.found.points]
    said += [(f"{COPIES}{each.label}/backup.manifest", each.stopped) for each in case.found.copies]
    past: dict[str, datetime] = {}
    future: dict[str, datetime] = {}
    for path, when in said:
        received = first(case.versions, path)
        if received is None or received <= case.accepted:
            continue
        if when < received - timedelta(hours=case.policy.backdated_hours):
            past[path] = when
        elif when > received + timedelta(minutes=case.policy.future_minutes):
            future[path] = when
    for code, found, word in (("backdated", past, "before"), ("future", future, "after")):
        if found:
            path, when = next(iter(found.items()))
            yield Problem(
                code,
                f"{len(found)} snapshots or copies say a time far {word} they came, the first"
                f" {path}: {when.isoformat()}",
                "look at the clock of the environment's host, and at who was there; what is kept"
                " goes by receive time",
                tuple(found),
            )


def unfinished(case: Case) -> Iterable[Problem]:
    """What arrived and is no whole point."""
    if case.accepted is None or case.found.closed:
        return
    known = {point.id for point in case.known}
    late = tuple(
        each.point.id
        for each in case.found.points
        if each.point.id not in known | case.whole
        and (at := first(case.versions, f"{SNAPSHOTS}{each.snapshot.id}")) is not None
        and case.accepted < at < case.now - PATIENCE
    )
    if late:
        why = f" ({few(case.found.wrong)})" if case.found.wrong else ""
        yield Problem(
            "unfinished",
            f"{len(late)} points arrived and are not whole: {few(late)}{why}",
            "invoke backup.drill --env E, and a new point: invoke backup --env E",
            late,
        )
    if case.found.unreadable:
        yield Problem(
            "unreadable",
            f"{len(case.found.unreadable)} snapshots are no point: {few(case.found.unreadable)}",
            "no environment writes them: find out who did",
            case.found.unreadable,
        )


def first(versions: Mapping[str, Sequence[Line]], path: str) -> datetime | None:
    """When a path was received for the first time."""
    lines = versions.get(path)
    return lines[0].at if lines else None


def segment(path: str) -> str:
    """The segment of the log that a path is of, or an empty text."""
    match = SEGMENT.search(f"/{path}") if path.startswith(ARCHIVE) else None
    return match[1] if match else ""


def files_of(state: State, labels: Iterable[str], begin: str, end: str) -> str:
    """A sum over a point's copies and its part of the log."""
    folders = tuple(f"{COPIES}{label}/" for label in labels)
    places = range(wal.position(begin), wal.position(end) + 1)

    def belongs(path: str) -> bool:
        name = segment(path)
        if name:
            return wal.position(name) in places and begin[:8] <= name[:8] <= end[:8]
        return path.startswith(folders)

    lines = sorted(f"{path} {line.sha256}\n" for path, line in state.items() if belongs(path))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def few(names: Sequence[str]) -> str:
    """The first of some names."""
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest} more" if rest > 0 else "")
