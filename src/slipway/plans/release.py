"""What a release does: the running environment and the wanted one in, steps out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from slipway.config import members, names
from slipway.config.backup import SERVICE as BACKUP
from slipway.config.monitoring import PROMETHEUS
from slipway.config.secrets import KNOWN, Parts
from slipway.facts.backup import Points
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.monitoring import Budgets
from slipway.facts.state import StateFacts
from slipway.plans import backup, data_tier, log_store, monitoring
from slipway.plans.differences import Difference
from slipway.plans.stacks import Stack
from slipway.plans.steps import GROUND, Kind, Step


@dataclass(frozen=True)
class Plan:
    """The steps of one release of one environment.

    `edge` is the one of the two edges that serves afterwards. `content` stands for everything
    that the steps put there: see `Want`. `basis` is a hash of what the steps start from:
    containers, what door and edge serve, and what was released so far. `point` is the recovery
    point that the release rests on, where there is a fresh one.
    """

    environment: str
    generation: int
    previous: int | None
    steps: tuple[Step, ...] = field(default=())
    content: str = ""
    edge: str = names.EDGES[0]
    basis: str = ""
    point: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.steps

    def of(self, kind: Kind) -> tuple[Step, ...]:
        """The steps of one kind."""
        return tuple(step for step in self.steps if step.kind is kind)

    @property
    def after_ground(self) -> tuple[Step, ...]:
        """The steps that are done under the lease."""
        return tuple(step for step in self.steps if step.kind not in GROUND)

    def holds(self, now: Plan) -> bool:
        """Whether these steps are still right under the lease, where `now` would be planned.

        Reasons may have changed, and steps may have come that a container's health asks for: they
        are for the next release. A step that is needed no more is not done without being asked;
        but a recovery point may have come by itself, and one more of them harms nobody.
        """
        needed = {step.what for step in now.steps}
        asked = {step.what for step in self.after_ground if step.kind is not Kind.POINT}
        return (self.content, self.basis) == (now.content, now.basis) and asked <= needed

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that name exactly these steps and what they put there."""
        lines = json.dumps([self.environment, self.content, *(str(step) for step in self.steps)])
        return hashlib.sha256(lines.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return "\n".join(f"  {number:>2}. {step}" for number, step in enumerate(self.steps, 1))


@dataclass(frozen=True)
class Want:
    """The wanted environment: its stacks, rendered with the fingerprints known beforehand.

    `evidence_due`: the release must be proved here even when it serves already, because others
    take it from here. `content` is a hash of all that shapes it: what the files resolve to, with
    each image by what it is made of, the environment's block, its hooks, and the fingerprints of
    its secrets. `resolved` is what they are cut out of. What `goes_back` migrates nothing: a
    migration is never run backwards. `unrouted` are the kernel's words where it refuses the rules
    of a door, so that the edge publishes the ports itself. `migrates`: the schema changes, or may,
    and `without_point` is somebody's reason to do that without a recovery point. What
    `keeps_budget` is not released to when its budget of errors is spent, but for the reason in
    `spend_budget`.
    """

    environment: str
    platform: Stack
    app: Stack
    secrets: tuple[str, ...]
    secrets_generated: bool
    certificate_due: bool
    soak_seconds: int
    content: str = ""
    goes_back: bool = False
    resolved: Mapping[str, Any] = field(default_factory=dict)
    evidence_due: bool = False
    unrouted: str = ""
    migrates: bool = False
    without_point: str = ""
    keeps_budget: bool = False
    spend_budget: str = ""

    @property
    def parts(self) -> Parts:
        """What decides which secrets its services have."""
        servers = tuple(name for name in members.MEMBERS if name in self.platform.hashes)
        hashes = self.platform.hashes
        return Parts(servers, BACKUP in hashes, PROMETHEUS in hashes)


@dataclass(frozen=True)
class Have:
    """The running environment: the engine, the state, and what the edge says it serves.

    `door` is the edge that gets new connections, None without a door that answers. `drift` is
    what is not as it was released; containers that drifted are replaced. `primary` is the member
    of a data tier that takes writes, None without one. `points` are what the backup service says
    it keeps, None without one that answers; they are asked for only where they matter. `budgets`
    are what is left of those of errors.
    """

    engine: EngineFacts
    state: StateFacts
    active: int | None
    door: str | None = None
    drift: tuple[Difference, ...] = ()
    primary: str | None = None
    points: Points | None = None
    budgets: Budgets = field(default_factory=Budgets)

    def drifted(self, container: Container) -> list[str]:
        """The attributes in which a container is not as it was released."""
        return [each.attribute for each in self.drift if each.subject == container.name]


def plan(want: Want, have: Have) -> Plan:
    """Compute the steps from `have` to `want`; empty when they are already the same."""
    environment = want.environment
    running = generations(environment, have.engine)
    current = have.active if have.active in running else None
    new, app = _app(want, have, running, current)
    hand_over, edge = edges(want, have)
    steps = [*_ground(want, have), *platform_steps(want, have), *hand_over, *app]
    if not steps and have.state.journal and current is not None:
        # A run was killed when all was done but to say so.
        steps.append(Step(Kind.PROVE, f"generation {current}", "serves, not yet proved"))
    secrets = _secrets(want, have)
    users = _users(want, have)
    if users and not want.goes_back and not any(step.kind is Kind.MIGRATE for step in steps):
        steps.append(Step(Kind.MIGRATE, "database", users, new))
    if any(step.kind is Kind.MIGRATE for step in steps):
        place = next(i for i, step in enumerate(steps) if step.kind is Kind.MIGRATE)
        steps[place:place] = backup.point(want, have)
    if steps or secrets.reason:
        first = next((i for i, step in enumerate(steps) if step.kind not in GROUND), len(steps))
        steps.insert(first, secrets)
    previous = _previous(have, running, current, new)
    rests_on = backup.wanted(want, have)
    return Plan(
        *(environment, new, previous, tuple(steps), want.content, edge, _basis(have)),
        point=backup.fresh(have.points, have.state.now) if rests_on else "",
    )


def _users(want: Want, have: Have) -> str:
    """Why the users that the settings name have to be made anew; empty when they need not."""
    if "admin_password" in _changed(want, have):
        return "the admin's password changed"
    known = have.state
    password = known.secrets.get(monitoring.PASSWORD)
    if want.parts.watched and (not password or known.handed.get(monitoring.PASSWORD) != password):
        return "the probe's user is made"
    return ""


def _basis(have: Have) -> str:
    """A hash of what a plan starts from, without what changes by itself, such as health."""
    known = have.state
    lines = [
        *sorted(f"{each.id} {each.project} {each.config_hash}" for each in have.engine.containers),
        f"serves {have.active}",
        f"door {have.door}",
        *([f"primary {have.primary}"] if have.primary else []),
        f"released {(known.committed or {}).get('hash', known.generations)}",
        f"journal {len(known.journal)}",
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _previous(have: Have, running: tuple[int, ...], current: int | None, new: int) -> int | None:
    """The generation to go back to when a step fails, while its containers are still there."""
    if new != current:
        return current
    committed = have.state.committed_generation
    return committed if committed in running and committed != current else None


def _app(
    want: Want, have: Have, running: tuple[int, ...], current: int | None
) -> tuple[int, list[Step]]:
    """The generation that will serve, and the steps until it does."""
    environment = want.environment
    if current is not None and matches(want.app, have, environment, current):
        others = [other for other in running if other != current]
        steps = []
        # A rollback to what was released last was killed after its switch, before its proof.
        switched_back = want.goes_back and bool(have.state.journal)
        if have.state.committed_generation != current or switched_back:
            # An interrupted release goes on where it was: the old generation may still answer.
            steps += [Step(Kind.DRAIN, f"generation {other}", "", other) for other in others]
            steps.append(Step(Kind.PROVE, f"generation {current}", "serves, not yet proved"))
            if others and want.soak_seconds:
                steps.append(Step(Kind.SOAK, f"{want.soak_seconds} s", "the old one stays warm"))
        elif want.evidence_due:
            steps.append(Step(Kind.PROVE, f"generation {current}", "for new evidence"))
        steps += [
            Step(Kind.DISCARD, f"generation {other}", "is not the one that serves", other)
            for other in others
        ]
        return current, steps

    warm = [other for other in running if other != current]
    finished = next((each for each in warm if matches(want.app, have, environment, each)), None)
    new = finished or next_generation(environment, have)
    left = [
        Step(Kind.DISCARD, f"generation {other}", "was left by an interrupted release", other)
        for other in warm
        if other != new
    ]
    # An edge that does not answer may still serve one of them.
    steps = [] if current is None else [*left]
    if not want.goes_back:
        steps.append(Step(Kind.MIGRATE, "database", "before the new generation starts", new))
    if finished is None:
        steps.append(Step(Kind.START, f"generation {new}", _why(want, have, current), new))
    steps += _replace(want, current, new)
    if current is None:
        steps += left
    else:
        if want.soak_seconds:
            steps.append(Step(Kind.SOAK, f"{want.soak_seconds} s", "the old one stays warm"))
        steps.append(Step(Kind.RETIRE, f"generation {current}", "", current))
    return new, steps


def _replace(want: Want, current: int | None, new: int) -> list[Step]:
    """The steps from a generation that is healthy to one that is proved and serves."""
    switch = [Step(Kind.SWITCH, f"edge to generation {new}", "", new)]
    if current is not None:
        switch.append(Step(Kind.DRAIN, f"generation {current}", "", current))
    prove = Step(Kind.PROVE, f"generation {new}", "through the edge", new)
    if want.goes_back:
        # What serves may be broken, and this one was proved when it was released.
        return [*switch, prove]
    return [replace(prove, reason="through the edge, before anybody else"), *switch]


def generations(environment: str, engine: EngineFacts) -> tuple[int, ...]:
    """The generations that have containers, in ascending order."""
    found = {names.generation_of(environment, container.project) for container in engine.containers}
    return tuple(sorted(number for number in found if number is not None))


def next_generation(environment: str, have: Have) -> int:
    """A number that no generation, running or recorded, ever had."""
    return max((0, *generations(environment, have.engine), *have.state.generations)) + 1


def matches(app: Stack, have: Have, environment: str, generation: int) -> bool:
    """Whether a generation's containers are all there, as wanted and released, and serving."""
    containers = have.engine.of(names.generation_project(environment, generation))
    return all(
        sum(
            each.serving and each.config_hash == wanted and not have.drifted(each)
            for each in containers
            if each.service == service
        )
        == app.replicas(service)
        for service, wanted in app.hashes.items()
    )


def _ground(want: Want, have: Have) -> list[Step]:
    environment = want.environment
    steps = [
        Step(Kind.NETWORK, each, "does not exist")
        for each in _wanted(want, "networks", names.NETWORKS)
        if each not in have.engine.networks
    ]
    steps += [
        Step(Kind.VOLUME, each, "does not exist")
        for each in dict.fromkeys((*names.volumes(environment), *_wanted(want, "volumes", ())))
        if each not in have.engine.volumes
    ]
    return steps


def _wanted(want: Want, section: str, always: Sequence[str]) -> Iterator[str]:
    """The networks or volumes that every environment has, and those that its platform uses too."""
    own = [names.prefix(want.environment) + each for each in always]
    used = [each["name"] for each in want.platform.document.get(section, {}).values()]
    yield from dict.fromkeys((*own, *used))


def _secrets(want: Want, have: Have) -> Step:
    missing = [name for name in want.secrets if name not in have.state.secrets]
    changed = _changed(want, have)
    reasons = []
    # What is made for the parts of the platform, whoever supplies the other secrets.
    own = [name for name in want.parts.made if name not in have.state.secrets]
    made = [*(missing if want.secrets_generated else ()), *own]
    if made:
        reasons.append(f"made: {', '.join(made)}")
    if changed:
        reasons.append(f"changed: {', '.join(changed)}")
    if want.certificate_due:
        reasons.append("the certificate is renewed")
    return Step(Kind.SECRET, "for every consumer", "; ".join(reasons))


def _changed(want: Want, have: Have) -> list[str]:
    """The secrets that are not as their consumers were given them."""
    return [
        name
        for name in (*want.secrets, *(each.name for each in KNOWN))
        if name in have.state.secrets and have.state.secrets[name] != have.state.handed.get(name)
    ]


def platform_steps(want: Want, have: Have) -> list[Step]:
    """The steps that put right what is changed in place: data tier, backups, logs, monitoring."""
    found = _containers(want, have)
    wrong = {
        name: reason
        for name in names.IN_PLACE
        if name in found and name in want.platform.hashes
        if (reason := _wrong(found[name], want, have))
    }
    own = backup.service(want, found, wrong.pop(BACKUP, ""))
    keeping = log_store.steps(want, found, wrong)
    watching = monitoring.steps(want, found, wrong)
    return [*data_tier.steps(want, have, found, wrong), *own, *keeping, *watching]


def _containers(want: Want, have: Have) -> dict[str, Container]:
    platform = names.platform_project(want.environment)
    return {each.service: each for each in have.engine.of(platform)}


def _in_place(service: str, container: Container | None, want: Want, have: Have) -> list[Step]:
    """The step that puts a platform service right where it is; none when it is right."""
    if container is None:
        return [Step(Kind.PLATFORM, service, "does not run yet")]
    wrong = _wrong(container, want, have)
    if not wrong:
        return []
    gap = "" if wrong == f"is {container.condition}" else " (in place: a short gap)"
    return [Step(Kind.PLATFORM, service, wrong + gap, recreate=True)]


def _wrong(container: Container, want: Want, have: Have) -> str:
    """Why a platform container must be replaced; empty when it is as it should be."""
    if container.config_hash != want.platform.hashes[container.service]:
        return "image or configuration changed"
    if have.drifted(container):
        return f"{', '.join(have.drifted(container))} not as released"
    return "" if container.serving else f"is {container.condition}"


def edges(want: Want, have: Have) -> tuple[list[Step], str]:
    """The steps until the wanted edge gets new connections, alone, and which of the two it is.

    Each of them leaves what the next release can go on from.
    """
    found = _containers(want, have)
    there = {name: found[name] for name in names.EDGES if name in found}
    if names.DOOR not in want.platform.hashes:
        return _without_door(want, have, found)
    door = _door(want, have, found)
    serving = have.door if have.door in there else next(iter(there), names.EDGES[0])
    other = names.other_edge(serving)
    current = there.get(serving)
    if current is None or current.state != "running":
        # Nobody serves, so there is nothing to hand over.
        begin = _in_place(serving, current, want, have)
        return [*begin, *door, *_leaving(other, there)], serving
    why = "publishes the ports itself" if current.published else _wrong(current, want, have)
    if not why:
        return [*door, *_leaving(other, there)], serving
    ready = other in there and not _wrong(there[other], want, have)
    reason = f"{serving}: {why}"
    steps = [] if ready else [Step(Kind.BESIDE, other, reason, recreate=other in there)]
    takes = f"takes new connections, established ones stay with {serving}: no gap"
    if door:
        takes = f"takes new connections from {serving}"
    steps += [*door, Step(Kind.HAND_OVER, other, takes)]
    return [*steps, *_leaving(serving, there)], other


def _without_door(want: Want, have: Have, found: Mapping[str, Container]) -> tuple[list[Step], str]:
    """The steps to an edge that publishes the ports itself and is changed in place."""
    first, second = names.EDGES
    why = "; this host lets no door route" if want.unrouted else ""
    if names.DOOR in found:
        taken = f"takes the ports from the door, once (a short gap){why}"
        steps = [Step(Kind.PLATFORM, first, taken, recreate=True)]
    else:
        steps = [
            replace(step, reason=step.reason + why)
            for step in _in_place(first, found.get(first), want, have)
        ]
    return [*steps, *_leaving(second, found)], first


def _door(want: Want, have: Have, found: Mapping[str, Container]) -> list[Step]:
    door = found.get(names.DOOR)
    steps = _in_place(names.DOOR, door, want, have)
    publishing = [name for name in names.EDGES if name in found and found[name].published]
    if steps and publishing:
        taken = f"takes the ports from {publishing[0]}, once (a short gap)"
        return [Step(Kind.PLATFORM, names.DOOR, taken, recreate=True)]
    return steps


def _leaving(edge: str, edges: Mapping[str, Container]) -> list[Step]:
    if edge not in edges:
        return []
    return [Step(Kind.LEAVE, edge, "once its connections are closed")]


def _why(want: Want, have: Have, current: int | None) -> str:
    if current is None:
        return "is the first" if not have.state.generations else "nothing serves"
    hashes: Mapping[str, set[str]] = {
        service: {
            each.config_hash
            for each in have.engine.of(names.generation_project(want.environment, current))
            if each.service == service
        }
        for service in want.app.hashes
    }
    changed = [name for name, wanted in want.app.hashes.items() if hashes[name] != {wanted}]
    if changed:
        return f"{', '.join(sorted(changed))} changed"
    drifted = sorted(
        {
            f"{each.service}: {attribute}"
            for each in have.engine.of(names.generation_project(want.environment, current))
            for attribute in have.drifted(each)
        }
    )
    if drifted:
        return f"not as released: {', '.join(drifted)}"
    return f"generation {current} is not whole"
