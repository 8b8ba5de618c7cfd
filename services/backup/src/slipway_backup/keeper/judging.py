"""What is known of the points: whole when they came, and until when. Written down after a look."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from slipway_backup.keeper import asking, rules
from slipway_backup.keeper import store as storing
from slipway_backup.keeper.rules import Case, Found, Known, Problem
from slipway_backup.keeper.store import Store
from slipway_backup.policy import Keeping
from slipway_backup.settings import Settings

FILE = "judged.json"


@dataclass(frozen=True)
class Judged:
    """The judgement of the newest state, and what is known of all points that are kept."""

    #: The receive time of the state that was judged.
    at: datetime | None = None
    #: What had been received by then is accepted: its problems are not told again.
    accepted: datetime | None = None
    #: The oldest first.
    known: tuple[Known, ...] = ()
    problems: tuple[Problem, ...] = ()
    #: Whether something arrived that is no whole point yet.
    waiting: bool = False


def judge(
    settings: Settings, store: Store, before: Judged, accepted: datetime | None, now: datetime
) -> Judged:
    """Judge the newest state, as it is at `now`. Raises BackupError where a tool cannot run."""
    found, state = asking.ask(settings, store), store.state()
    sums = asking.sums(found, state)
    kept = {point.id: point for point in before.known}
    whole = {each for each, told in sums.items() if each not in kept or kept[each].files == told}
    policy = settings.keeper_policy
    new = [each for each in whole - kept.keys() if _plausible(each, found, store, accepted, policy)]
    by_label = {copy.label: copy for copy in found.copies}
    for stored in found.points:
        copy = asking.copy_of(stored, by_label)
        if stored.point.id not in new or copy is None:
            continue
        if asking.read_through(settings, store, [copy.label]):
            whole.discard(stored.point.id)
            continue
        received = rules.first(store.versions, f"{rules.SNAPSHOTS}{stored.snapshot.id}") or now
        kept[stored.point.id] = Known(
            id=stored.point.id,
            name=stored.point.name,
            time=stored.point.time,
            snapshot=stored.snapshot.id,
            label=copy.label,
            start=copy.start_segment,
            received=received,
            at=now,
            files=sums[stored.point.id],
        )
    known = tuple(
        replace(point, at=now) if point.id in whole else point
        for point in sorted(kept.values(), key=lambda each: (each.received, each.time))
    )
    case = Case(store.versions, state, found, known, frozenset(whole), now, accepted, policy)
    waiting = any(each.point.id not in whole for each in found.points)
    return Judged(now, accepted or now, known, tuple(rules.problems(case)), waiting)


def _plausible(
    id: str, found: Found, store: Store, accepted: datetime | None, policy: Keeping
) -> bool:
    """Whether a point's own time is about when it came; one that says another time is no good."""
    point = next(each for each in found.points if each.point.id == id)
    received = rules.first(store.versions, f"{rules.SNAPSHOTS}{point.snapshot.id}")
    if accepted is None or received is None or received <= accepted:
        return True
    earliest = received - timedelta(hours=policy.backdated_hours)
    latest = received + timedelta(minutes=policy.future_minutes)
    return all(earliest <= when <= latest for when in (point.point.when, point.snapshot.time))


def go_on(before: Judged, now: datetime) -> Judged:
    """The judgement of a state that has only more of the log than the one before."""
    known = tuple(
        replace(point, at=now) if point.at == before.at else point for point in before.known
    )
    return replace(before, at=now, known=known)


def keep(path: Path, judged: Judged) -> None:
    """Write a judgement down."""
    storing.replace(path, json.dumps(asdict(judged), default=datetime.isoformat, indent=1))


def load(path: Path) -> Judged:
    """The last judgement, or none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Judged()
    return Judged(
        at=_time(told["at"]),
        accepted=_time(told["accepted"]),
        known=tuple(
            Known(**each | {name: _time(each[name]) for name in ("received", "at")})
            for each in told["known"]
        ),
        waiting=told["waiting"],
        problems=tuple(
            Problem(**each | {"about": tuple(each["about"])}) for each in told["problems"]
        ),
    )


def _time(text: str | None) -> Any:
    return None if text is None else datetime.fromisoformat(text)
