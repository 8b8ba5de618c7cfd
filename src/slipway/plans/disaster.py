"""What rebuilds an environment out of a copy of its backups, on a host that has nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipway.config import names
from slipway.config.backup import SERVICE
from slipway.config.environment import Environment
from slipway.errors import Refused
from slipway.facts.backup import Owner, Point, Points
from slipway.facts.engine import EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans.points import described, moment
from slipway.plans.restore import DATA, LATEST, STATE, Target, Unfinished, unfinished, what
from slipway.plans.steps import Kind, Step

#: What the second repository of an environment's file is called where a folder could be named.
SECOND = "second"
REPOSITORY = "repository"
#: Of what is in the way, so many are named.
SHOWN = 3
#: Who owns the folders that are restored into: of the database's server, and of the backend.
OWNERS = {"postgres": (10003, "0700"), "files": (10001, "0750")}


@dataclass(frozen=True)
class Origin:
    """What is recovered from: a folder of the host, or the second repository of a policy."""

    name: str
    folder: str = ""
    policy: str = ""


@dataclass(frozen=True)
class Plan:
    """The steps of a recovery up to the ledger; `point` is the one whose ledger and secrets it has.

    The database and the release follow, as in any restore.
    """

    environment: str
    origin: Origin
    target: Target
    point: Point
    steps: tuple[Step, ...]
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        released = (self.point.release or {}).get("version")
        start = Step(Kind.START, f"release {released}", "on what was restored, and proved")
        every = [
            *self.steps,
            Step(Kind.RESTORE, DATA, f"to {self.target.said}"),
            *([start] if released else []),
        ]
        numbered = [f"  {number:>2}. {step}" for number, step in enumerate(every, 1)]
        head = f"rebuild {self.environment} as of {self.target.said} from {self.origin.name}:"
        return "\n".join([head, *numbered, *(f"  {line}" for line in self.lines)])


def origin(name: str, environment: Environment, source: str, folder: str) -> Origin:
    """What `source` means: the second repository, or else a folder. Raises Refused."""
    if source != SECOND:
        return Origin(source, folder=folder)
    if getattr(environment.backup, "second", None) is None:
        raise Refused(
            f"{name} has no second repository (x-slipway/backup/second in its file); a folder of "
            f"the name {SECOND} is ./{SECOND}"
        )
    return Origin(SECOND, policy=environment.backup.told)


def begun(name: str, running: EngineFacts, known: StateFacts | None) -> Unfinished | None:
    """The recovery that was begun here and did not end; None on a host that has nothing of it.

    Raises Refused where the environment lives on this engine, or any of its data does.
    """
    left = None if known is None else unfinished(known.journal)
    if left is not None and left.repository:
        return left
    # What a recovery makes before it can note that it began.
    early = {names.state_volume(name), *names.secret_volumes(name).values()}
    there = sorted(each.name for each in running.containers) or sorted(running.volumes - early)
    if known is not None and (known.ledger or known.journal or known.secrets):
        there = there or [names.state_volume(name)]
    if there:
        raise Refused(
            f"{name} lives on this engine: {', '.join(there[:SHOWN])}"
            f"{' and more' if len(there) > SHOWN else ''}. Nothing was touched. What lives here is "
            "taken back without --from, and is replaced only after "
            f"invoke down --env {name} --volumes",
            next_command=f"invoke restore --env {name} --plan",
        )
    return None


def refuse_other(name: str, left: Unfinished | None, origin: Origin) -> None:
    """Refuse to go on from elsewhere: parts of two repositories are none."""
    if left is not None and left.repository != origin.name:
        raise Refused(
            f"The recovery of {name} from {left.repository} was begun and did not end. Nothing was "
            f"touched. invoke down --env {name} --volumes takes what there is of it away",
            next_command=left.command,
        )


def refuse_foreign(name: str, origin: Origin, owner: Owner) -> None:
    """Refuse the repository of another environment: its ledger names that one's volumes."""
    if owner.platform in {"", names.platform_project(name)}:
        return
    other = owner.platform.removeprefix("slipway-").removesuffix("-platform")
    raise Refused(
        f"{origin.name} is the repository of {other}, not of {name}. Nothing was touched",
        next_command=f"invoke restore --env {other} --from {origin.name} --key FILE",
    )


def holder(name: str, points: Points, wanted: Target) -> Point:
    """The point whose ledger and secrets are taken: the one itself, or the first after a time.

    What is older than the data might not know the schema. Raises Refused without any point.
    """
    if not points.points:
        said = f": {'; '.join(points.damaged)}" if points.damaged else ""
        raise Refused(f"The repository holds no point of {name} that can be read{said}")
    named = None if wanted.to == LATEST else points.named(wanted.to)
    after = (each for each in points.points if wanted.time is not None and each.time >= wanted.time)
    return named or next(after, points.points[-1])


def plan(
    name: str,
    origin: Origin,
    wanted: Target,
    points: Points,
    left: Unfinished | None,
    now: float,
    gone: Sequence[str] = (),
) -> Plan:
    """The steps that are left until the environment has its ledger and its secrets again.

    `gone` are images of the newest point's release that nobody has.
    """
    point = holder(name, points, wanted)
    every = [
        *([Step(Kind.ADOPT, REPOSITORY, f"from {origin.name}")] if origin.folder else []),
        Step(Kind.STATE, STATE, f"of {described(point, now)}"),
        Step(Kind.SECRET, f"for the service {SERVICE}", "from the ledger's point, and the key"),
    ]
    done = frozenset[str]() if left is None else left.ever
    steps = tuple(each for each in every if what(each) not in done)
    lines = _lines(wanted, points, left)
    if not point.release:
        lines.append(f"{point.id} knows no release that ended: all but a release will be there")
    if gone and point == points.newest:
        lines.append(
            f"neither engine nor registry has {', '.join(gone)}: all but the release will be there"
        )
    return Plan(name, origin, wanted, point, steps, tuple(lines))


def note(plan: Plan, command: str) -> dict[str, Any]:
    """What journal and ledger say of a recovery."""
    return {
        "kind": "restore",
        "restore": {
            "to": plan.target.to,
            "safety": "",
            "closed": False,
            "command": command,
            "repository": plan.origin.name,
        },
    }


def unread(points: Points) -> Sequence[str]:
    """What of the repository cannot be restored, a sentence each."""
    without = [each.id for each in points.points if not each.repositories]
    copies = (
        [f"the copies of the database of {', '.join(without)} are not there"] if without else []
    )
    return [*points.damaged, *copies]


def _lines(wanted: Target, points: Points, left: Unfinished | None) -> list[str]:
    """What a person has to know before it is done."""
    lines = [] if left is None else [f"goes on with the recovery to {left.to} that did not end"]
    if wanted.time is not None:
        lines.append(f"lost: what was written after {moment(wanted.time)} UTC")
    elif points.archived is not None:
        lines.append(f"lost: what was written after {moment(points.archived)} UTC")
    else:
        lines.append("lost: what was written after the end of the archive")
    return [*lines, *(f"cannot be read: {each}" for each in unread(points))]
