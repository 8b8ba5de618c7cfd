"""The data tier with replicas: asking its members, and carrying out the steps that change them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway import console
from slipway.commands import database as commands
from slipway.config import members, names
from slipway.errors import SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import Container, Running
from slipway.plans import data_tier as plans
from slipway.plans.release import Have, Want, platform_steps
from slipway.plans.stacks import Stack, count
from slipway.plans.steps import Kind, Step
from slipway.run import run

if TYPE_CHECKING:
    from slipway.apply import Release

POLL_SECONDS = 0.5
# Longer than a member's own grace, in which PostgreSQL writes its last checkpoint.
STOP_SECONDS = 60
# Behind by less, a replica has joined; one that copies or catches up is behind by more.
JOINED_BYTES = 16 * 1024 * 1024
ROLES = {"leader": "primary", "sync_standby": "synchronous replica", "replica": "replica"}


@dataclass(frozen=True)
class Member:
    """One member of the tier: its role and state, and how far it is behind, in bytes."""

    name: str
    role: str
    state: str
    timeline: int | None
    lag: int | None
    pending_restart: bool = False

    @property
    def primary(self) -> bool:
        """Whether it takes writes."""
        return self.role == "primary"

    @property
    def joined(self) -> bool:
        """Whether it takes writes, or follows who does closely."""
        close = self.lag is not None and self.lag < JOINED_BYTES
        return self.primary or (self.state == "streaming" and close)


@dataclass(frozen=True)
class Tier:
    """The members as the one that was asked sees them, and whether replicas are synchronous."""

    members: tuple[Member, ...] = ()
    synchronous: bool = False

    @property
    def primary(self) -> str | None:
        """The member that takes writes."""
        return next((each.name for each in self.members if each.primary), None)

    @property
    def ready(self) -> str | None:
        """A replica that can take over without losing a write; None while there is none."""
        role = "synchronous replica" if self.synchronous else "replica"
        return next((each.name for each in self.members if each.joined and each.role == role), None)

    def member(self, name: str) -> Member | None:
        """The member of this name, where the tier knows it."""
        return next((each for each in self.members if each.name == name), None)


def containers(environment: str, running: Running) -> dict[str, Container]:
    """The running containers of the members, by name."""
    return {
        each.service: each
        for each in running.of(names.platform_project(environment))
        if each.state == "running" and plans.is_member(each)
    }


def read(environment: str, running: Running) -> Tier:
    """The tier as the first member that answers sees it; empty without any."""
    for container in containers(environment, running).values():
        done = run(commands.status(container.id), check=False, timeout=60)
        if done.exit_code == 0:
            return parse(json.loads(done.output))
    return Tier()


def parse(answer: dict[str, Any]) -> Tier:
    """The tier in what a member answers."""
    return Tier(
        tuple(
            Member(
                name=each["name"],
                role=ROLES.get(each["role"], each["role"]),
                state=each["state"],
                timeline=each.get("timeline"),
                lag=each["lag"] if isinstance(each.get("lag"), int) else None,
                pending_restart=bool(each.get("pending_restart")),
            )
            for each in sorted(answer["cluster"]["members"], key=lambda each: str(each["name"]))
        ),
        bool(answer["synchronous"]),
    )


def switchover(environment: str, running: Running, target: str = "") -> dict[str, Any]:
    """Have a replica take the writes over; who did, and in what time.

    Raises SlipwayError with the reason of the tier's refusal.
    """
    there = containers(environment, running)
    tier = read(environment, running)
    asked = there.get(tier.primary or "")
    if asked is None:
        raise SlipwayError(
            f"The data tier of {environment} has no primary to switch over from",
            next_command=f"invoke db.status --env {environment}",
        )
    done = run(commands.switchover(asked.id, target), check=False, timeout=120)
    if done.exit_code != 0:
        reason = done.errors.strip().rpartition("\n")[2].removeprefix("slipway-member: ")
        raise SlipwayError(
            f"{asked.service} of {environment} did not hand the writes over: {reason}",
            next_command=f"invoke db.status --env {environment}",
        )
    answer = json.loads(done.output)
    assert isinstance(answer, dict)
    return answer


def change(release: Release, step: Step) -> None:
    """Start or replace one member, and wait until it has joined the others."""
    release.changed.append(step.subject)
    stack = release.stack("platform")
    release.state.keep("platform.json", stack.text())
    tier = _now(release)
    if tier.primary is None and step.subject == members.FIRST:
        _begin(release, stack)
    elif tier.primary is not None:
        # New passwords first: who is started next uses them.
        _tell(release, tier.primary, commands.grant)
    release.up(stack, step.subject, recreate=step.recreate)
    release.wait_for(stack, step.subject)
    _await_joined(release, stack, step.subject)
    primary = _now(release).primary
    if primary is not None:
        _tell(release, step.subject, commands.settle)
        _tell(release, primary, commands.grant)


def hand_over(release: Release, step: Step) -> None:
    """Let a replica that has everything take the writes over from this primary."""
    deadline = time.monotonic() + release.environment.ready_seconds
    while (tier := _now(release)).primary == step.subject:
        if tier.ready is not None:
            running = engine_facts.running(release.engine, release.name)
            release.state.check()
            answer = switchover(release.name, running, tier.ready)
            console.say(f"{answer['to']} takes the writes, after {answer['seconds']} s")
            break
        if time.monotonic() > deadline:
            raise SlipwayError(
                f"No replica of {release.name} is ready to take the writes over from "
                f"{step.subject}: none has everything that was written",
                next_command=f"invoke db.status --env {release.name}",
            )
        time.sleep(POLL_SECONDS)
    _await_order(release)


def dismiss(release: Release, step: Step) -> None:
    """Stop and remove a service that is changed in place and wanted no more; its volume stays."""
    release.changed.append(step.subject)
    running = engine_facts.running(release.engine, release.name)
    for each in running.of(names.platform_project(release.name)):
        if each.service == step.subject:
            release.state.check()
            remove(each)


def put_back(release: Release) -> None:
    """Put the data tier back as `release`, an earlier one, has it."""
    running = engine_facts.read(release.engine, release.name)
    stack = release.stack("platform")
    known = state_facts.parse(release.state.read())
    want = Want(
        environment=release.name,
        platform=stack,
        app=stack,
        secrets=(),
        secrets_generated=False,
        certificate_due=False,
        soak_seconds=0,
    )
    primary = read(release.name, running).primary
    have = Have(running, known, None, primary=primary)
    plans.refuse(want, have)
    if primary is not None and plans.replicated(stack.document):
        # The passwords that every consumer has again, also where no member was replaced yet.
        _tell(release, primary, commands.grant)
    for step in platform_steps(want, have):
        console.say(f"reverting: {step.phase}")
        match step.kind:
            case Kind.SWITCHOVER:
                hand_over(release, step)
            case Kind.DISMISS:
                dismiss(release, step)
            case _ if step.subject in members.MEMBERS and plans.replicated(stack.document):
                change(release, step)
            case _:
                release.up(stack, step.subject, recreate=step.recreate)
                release.wait_for(stack, step.subject)


def touches(changed: Sequence[str], before: Stack, now: Stack) -> bool:
    """Whether any of what was changed belongs to a data tier with replicas, before or now."""
    tier = plans.replicated(before.document) or plans.replicated(now.document)
    return tier and any(each in members.SERVICES for each in changed)


def _begin(release: Release, stack: Stack) -> None:
    """Make what the first member begins with, once, or prepare the volume that a server left."""
    running = engine_facts.running(release.engine, release.name)
    if containers(release.name, running):
        # A tier that only has no primary now. Who has the newest data is its own to find out.
        return
    known = state_facts.parse(release.state.read())
    for each in running.of(names.platform_project(release.name)):
        if each.service == members.FIRST:
            release.state.check()
            remove(each)
    verb = "create" if known.committed is None else "adopt"
    release.run_once(stack, members.FIRST, verb)


def _await_joined(release: Release, stack: Stack, name: str) -> None:
    """Wait until a member takes writes or follows.

    Of a tier that was stopped, the one that had the writes last may be among those that do not
    run yet, and nobody else takes them: then only the last one is waited for.
    """
    deadline = time.monotonic() + release.environment.ready_seconds
    was_tier = release.before is not None and count(release.before) > 1
    wanted = {each for each in members.MEMBERS if each in stack.hashes}
    while True:
        running = engine_facts.running(release.engine, release.name)
        tier = read(release.name, running)
        member = tier.member(name)
        if member is not None and member.joined:
            return
        waiting = wanted - set(containers(release.name, running))
        if tier.primary is None and waiting and was_tier:
            return
        if time.monotonic() > deadline:
            state = "is not known to the others" if member is None else f"is {member.state}"
            raise SlipwayError(
                f"{name} of {release.name} did not join the data tier within "
                f"{release.environment.ready_seconds} s: it {state}",
                next_command=f"invoke logs --env {release.name} --service {name}",
            )
        time.sleep(POLL_SECONDS)


def _await_order(release: Release) -> None:
    """Wait until somebody takes writes and every member follows."""
    deadline = time.monotonic() + release.environment.ready_seconds
    while True:
        tier = _now(release)
        if tier.primary is not None and all(each.joined for each in tier.members):
            return
        if time.monotonic() > deadline:
            states = ", ".join(f"{each.name} is {each.state}" for each in tier.members)
            raise SlipwayError(
                f"The data tier of {release.name} is not in order after the switchover: "
                f"{states or 'no member answers'}",
                next_command=f"invoke db.status --env {release.name}",
            )
        time.sleep(POLL_SECONDS)


def _tell(release: Release, name: str, command: Any) -> None:
    """Have one member do something; nothing where it does not run any more."""
    running = engine_facts.running(release.engine, release.name)
    container = containers(release.name, running).get(name)
    if container is None:
        return
    release.state.check()
    done = run(command(container.id), check=False, timeout=120)
    if done.exit_code != 0:
        reason = done.errors.strip().rpartition("\n")[2].removeprefix("slipway-member: ")
        raise SlipwayError(
            f"{name} of {release.name}: {reason}",
            next_command=f"invoke logs --env {release.name} --service {name}",
        )


def _now(release: Release) -> Tier:
    return read(release.name, engine_facts.running(release.engine, release.name))


def remove(container: Container) -> None:
    """Stop a server in order, and remove its container; its volume stays."""
    run(commands.stop(container.id, STOP_SECONDS), timeout=STOP_SECONDS + 30)
    run(commands.remove(container.id), timeout=60)
