"""What a restore over a living environment does: what runs and what was begun in, steps out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.config import members, names
from slipway.config.backup import SERVICE
from slipway.errors import Refused
from slipway.facts.backup import Points
from slipway.facts.engine import EngineFacts
from slipway.plans.points import described, moment
from slipway.plans.progress import duration
from slipway.plans.release import generations
from slipway.plans.stacks import Stack
from slipway.plans.steps import Kind, Step

LATEST = "latest"
#: The volumes that are restored into: those of the first server, and of the uploads.
RESTORED = (members.FIRST, "files")
#: What the database and the uploads are called as one subject: they are restored together.
DATA = "database and files"
#: What the state volume holds as one subject.
STATE = "ledger, secrets and configurations"
#: What is done while everything is still there. Callers are turned away first: what they wrote
#: after the point of what is there would be in neither.
BEFORE = (Kind.CLOSE, Kind.POINT)
_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Target:
    """What is restored: as it was typed, as the service is told, and as a person is.

    `time` is its moment in seconds, None for the end of the archive.
    """

    to: str
    words: tuple[str, ...]
    said: str
    time: float | None = None


@dataclass(frozen=True)
class Unfinished:
    """A restore that was killed: what it was to, its safety point, and the steps that are done.

    `closed`: it was the restore that turned callers away; `command` is what was typed, without
    what answers questions. `repository` is where a host that had nothing restores from, and `ever`
    all steps that are done, whatever they were to.
    """

    to: str
    safety: str
    closed: bool
    done: frozenset[str]
    command: str
    repository: str = ""
    ever: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Have:
    """What runs, what is kept, and what an earlier restore left undone.

    `serving`: a server of the database answers; `primary` is the one that takes writes, where that
    is known; `closed`: callers are turned away already, `left_closed`: by a restore that was
    killed; `without_point` is somebody's reason to overwrite what is there without a point of it.
    """

    engine: EngineFacts
    points: Points | None
    begun: Unfinished | None
    serving: bool
    closed: bool
    left_closed: bool
    edge: bool
    now: float
    primary: str | None = None
    without_point: str = ""


@dataclass(frozen=True)
class Plan:
    """The steps of one restore, those that are left of it where it was begun before.

    `opens`: callers are let in again at the end.
    """

    environment: str
    target: Target
    version: str
    steps: tuple[Step, ...]
    opens: bool
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        last = [Step(Kind.START, f"release {self.version}", "on what was restored, and proved")]
        if self.opens:
            last.append(Step(Kind.OPEN, "edge", "callers are served again"))
        every = [*self.steps, *last]
        numbered = [f"  {number:>2}. {step}" for number, step in enumerate(every, 1)]
        head = f"restore {self.environment} to {self.target.said}:"
        return "\n".join([head, *numbered, *(f"  {line}" for line in self.lines)])


def unfinished(journal: Sequence[Mapping[str, Any]]) -> Unfinished | None:
    """The restore that the journal was left by; None where it was left by anything else.

    One that got no further than the point of what was there has begun nothing.
    """
    last = journal[-1].get("restore") if journal else None
    steps = {str(each.get("what", "")) for each in journal if "restore" in each}
    if last is None or all(each.startswith(BEFORE) for each in steps):
        return None
    same = (each for each in journal if (each.get("restore") or {}).get("to") == last["to"])
    return Unfinished(
        *(last["to"], last["safety"], bool(last["closed"]), _done(same), last["command"]),
        repository=last.get("repository", ""),
        ever=_done(journal),
    )


def _done(journal: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(str(each["what"]) for each in journal if each.get("done") and "what" in each)


def refuse_unfinished(name: str, journal: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to start anything on a database that a killed restore may have left half written."""
    begun = unfinished(journal)
    if begun is None:
        return
    raise Refused(
        f"A restore of {name} to {begun.to} was begun and did not end: its database may be half "
        "restored. Nothing was touched",
        next_command=begun.command,
    )


def refuse_without_state(name: str, journal: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what needs the ledger while a host that had nothing does not have all of it yet."""
    begun = unfinished(journal)
    if begun is None or not begun.repository or what(Step(Kind.STATE, STATE, "")) in begun.ever:
        return
    raise Refused(
        f"{name} is being rebuilt from {begun.repository}, and its ledger and secrets are not "
        "there yet. Nothing was touched",
        next_command=begun.command,
    )


def target(name: str, to: str, points: Points | None, now: float, *, begun: str = "") -> Target:
    """What `to` means: `latest`, a point's id, or a time. Raises Refused.

    What a restore that did not end was to is known without its being listed: `begun`.
    """
    if to == LATEST:
        newest = points.archived if points else None
        said = f"the end of the archive ({moment(newest)} UTC)" if newest else "the newest there is"
        return Target(LATEST, ("--to", LATEST), said)
    point = points.named(to) if points else None
    if point is not None and not point.repositories:
        raise Refused(
            f"The copy of the database that point {point.id} of {name} rests on is in no "
            "repository, or none tells what is in it: nothing was touched",
            next_command=f"invoke backup.list --env {name}",
        )
    if point is not None:
        return Target(point.id, ("--point", point.id), described(point, now), point.time)
    if points is None and to == begun and not _LIKE_A_TIME.match(to):
        return Target(to, ("--point", to), to)
    if not _LIKE_A_TIME.match(to):
        there = ", ".join(each.id for each in points.points[-5:]) if points else ""
        raise Refused(
            f"{to!r} is neither a point of {name} (the newest are: {there or 'none'}), nor a time "
            f"such as 2026-11-29T14:30Z, nor {LATEST}",
            next_command=f"invoke backup.list --env {name}",
        )
    return _time(name, to, points, now)


def _time(name: str, to: str, points: Points | None, now: float) -> Target:
    try:
        parsed = datetime.fromisoformat(to)
    except ValueError as error:
        raise Refused(f"{to!r} is no time: write it like 2026-11-29T14:30:00Z") from error
    if parsed.tzinfo is None:
        raise Refused(f"{to} names no zone: write {to}Z if it is UTC")
    wanted = parsed.timestamp()
    oldest = points.points[0].time if points and points.points else None
    if wanted > now:
        raise Refused(f"{to} is still to come")
    if oldest is not None and wanted < oldest:
        raise Refused(
            f"The oldest point of {name} is of {moment(oldest)} UTC: nothing from before can be "
            "restored",
            next_command=f"invoke backup.list --env {name}",
        )
    return Target(to, ("--to", parsed.isoformat()), f"{moment(wanted)} UTC", wanted)


def plan(name: str, wanted: Target, platform: Stack, version: str, have: Have) -> Plan:
    """The steps from what runs to what was restored, stopped; the release starts on it."""
    begun = have.begun
    # Another target than that of a restore which was killed is restored anew.
    done = begun.done if begun is not None and begun.to == wanted.to else frozenset()
    restored = what(Step(Kind.RESTORE, DATA, "")) in done
    closes = have.edge and not have.closed
    steps = [
        *([Step(Kind.CLOSE, "edge", "callers are answered 503 meanwhile")] if closes else []),
        *_safety(have),
        *([] if restored else _stopping(name, have)),
        *([] if restored else [Step(Kind.RESTORE, DATA, f"to {wanted.said}")]),
        *(
            Step(Kind.ASIDE, volume, "is made anew from what is restored")
            for volume in _copies(name, platform)
            if volume in have.engine.volumes
        ),
    ]
    left = tuple(step for step in steps if step.kind is not Kind.ASIDE or what(step) not in done)
    opens = closes or have.left_closed or (begun is not None and begun.closed)
    return Plan(name, wanted, version, left, opens, tuple(_lines(wanted, have)))


def what(step: Step) -> str:
    """What a step is known by in the journal."""
    return f"{step.kind} {step.subject}"


def _safety(have: Have) -> list[Step]:
    if have.begun is not None or not have.serving or have.without_point:
        return []
    return [Step(Kind.POINT, "recovery point", "of what is there now, to come back to")]


def _stopping(name: str, have: Have) -> list[Step]:
    """Who asks stops before who is asked; who takes the writes after who would take over."""
    app = [
        Step(Kind.STOP, f"generation {number}", "", number)
        for number in generations(name, have.engine)
    ]
    there = {each.service for each in have.engine.of(names.platform_project(name))}
    servers = [each for each in reversed(members.MEMBERS) if each in there]
    last = have.primary if have.primary in servers else None
    order = [each for each in servers if each != last] + ([last] if last else [])
    order += [members.STORE] if members.STORE in there else []
    return [*app, *(Step(Kind.STOP, each, "") for each in order)]


def _copies(name: str, platform: Stack) -> list[str]:
    """The volumes of the servers but the first, and of who they agree through."""
    services = (members.STORE, *members.MEMBERS[1:])
    return [names.prefix(name) + each for each in services if each in platform.hashes]


def _lines(wanted: Target, have: Have) -> list[str]:
    """What a person has to know before they agree."""
    begun = have.begun
    lines = []
    if begun is not None:
        lines.append(f"goes on with the restore to {begun.to} that was begun and did not end")
        lines += [f"what was there before is point {begun.safety}"] if begun.safety else []
    if wanted.time is not None:
        lines.append(f"lost: everything of the last {duration(have.now - wanted.time)}")
    elif have.points is not None and have.points.behind is not None:
        lines.append(f"lost: at most the last {duration(have.points.behind)}")
    if not have.serving and begun is None:
        lines.append("no point of what is there now: the database does not answer")
    elif have.without_point and begun is None:
        lines.append(f"no point of what is there now: {have.without_point}")
    return lines


def restorer(
    platform: Stack,
    words: Sequence[str],
    into: Mapping[str, str] | None = None,
    *,
    image: str = "",
) -> tuple[Stack, tuple[str, ...]]:
    """A container of the backup service with the volumes to restore into, and its command.

    It is root over the files of others, which it writes for whoever will read them. `into` are
    another environment's volumes in place of the platform's own; the repository is only read then.
    `image` is another one than the service's own.
    """
    service = dict(platform.document["services"][SERVICE])
    service |= {"image": image} if image else {}
    sources = {each: each if into is None else f"into-{each}" for each in RESTORED}
    kept = [
        each | ({} if into is None else {"read_only": True})
        for each in service["volumes"]
        if not each["target"].startswith("/source/")
    ]
    if into is not None:
        # What a restore notes beside the repository is not this environment's to know.
        service["environment"] = service["environment"] | {
            "WORK_DIRECTORY": "/tmp/work"
        }  # noqa: S108  # nosec B108
    service |= {
        # The last one ends the server that recovers the data, which is another user's.
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "KILL"],
        "restart": "no",
        "healthcheck": {"disable": True},
        "volumes": [
            *kept,
            {"type": "volume", "source": sources[members.FIRST], "target": "/restore/postgres"},
            {"type": "volume", "source": sources["files"], "target": "/restore/files"},
        ],
    }
    others = {
        sources[each]: {"name": name, "external": True} for each, name in (into or {}).items()
    }
    document = {
        **platform.document,
        "services": {SERVICE: service},
        "volumes": {**platform.document["volumes"], **others},
    }
    command = (
        *("restore", *words, "--delta", "--owner", "10003"),
        *("--data", "/restore/postgres/17", "--files", "/restore/files"),
    )
    return Stack(platform.project, document, {}), command
