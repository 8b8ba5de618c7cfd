"""Replacing the edge while it serves: another beside it, the door between, a drain at the end."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from slipway import console, edge
from slipway.config import names
from slipway.errors import SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import Container, EngineFacts
from slipway.plans.release import Have, Want, edges
from slipway.plans.steps import Kind, Step

if TYPE_CHECKING:
    from slipway.apply import Release
    from slipway.plans.stacks import Stack

POLL_SECONDS = 0.5
# Longer than the edge gives requests when it is told to stop.
STOP_SECONDS = 40


def beside(release: Release, step: Step) -> None:
    """Start the other edge, which nobody reaches yet, and wait until it could serve."""
    release.changed.append(step.subject)
    if step.recreate:
        release.count()
    stack = release.stack("platform")
    release.state.keep("platform.json", stack.text())
    release.up(stack, step.subject, recreate=step.recreate)
    release.wait_for(stack, step.subject)
    _brief(release, step.subject)


def hand_over(release: Release, step: Step) -> None:
    """Send new connections to the other edge; established ones stay where they are."""
    release.changed.append(step.subject)
    _brief(release, step.subject)
    _send_to(release, step.subject)


def leave(release: Release, step: Step) -> None:
    """Wait until the edge that was left holds no connection, counted, and remove it.

    Each connection is closed with its next answer, or when it was idle for as long as any edge
    keeps one; streams end by themselves. At the drain limit the edge is told to quit, which lets
    requests finish but no connection wait for another.
    """
    release.changed.append(step.subject)
    running = engine_facts.running(release.engine, release.name)
    container = edge.named(release.name, running, step.subject)
    if container is None:
        return
    routed = edge.named(release.name, running, names.DOOR) is not None
    # Nothing reaches an edge behind a door that is gone.
    if container.state == "running" and routed:
        if edge.serving(release.name, running) == step.subject:
            raise SlipwayError(
                f"{step.subject} still gets new connections, so it is not removed",
                next_command=f"invoke release --env {release.name} --plan",
            )
        _drain(release, container)
    release.count()
    release.state.check()
    edge.remove(container.id, STOP_SECONDS)


def free_ports(release: Release, stack: Stack, service: str) -> None:
    """Remove what publishes the ports that `service` of `stack` is about to publish.

    What the edges counted is asked for before one of them goes.
    """
    if service not in {names.DOOR, *names.EDGES}:
        return
    release.count()
    if (service == names.DOOR) != (names.DOOR in stack.hashes):
        return
    running = engine_facts.running(release.engine, release.name)
    for name in names.EDGES if service == names.DOOR else (names.DOOR,):
        container = edge.named(release.name, running, name)
        if container is not None and container.published:
            release.state.check()
            edge.remove(container.id, STOP_SECONDS)


def settle(release: Release, service: str) -> None:
    """Let the edge that runs serve what was served, once `service` was replaced in place."""
    if service == names.DOOR:
        _open_door(release)
    elif service in names.EDGES:
        _brief(release, service)


def put_back(release: Release) -> Release:
    """Put the edges and the door back as `release`, an earlier one, has them."""
    running = engine_facts.read(release.engine, release.name)
    known = state_facts.parse(release.state.read())
    platform = release.cut("platform")
    want = Want(
        environment=release.name,
        platform=platform,
        app=platform,
        secrets=(),
        secrets_generated=False,
        certificate_due=False,
        soak_seconds=0,
    )
    active, door = edge.active(release.name, running), edge.serving(release.name, running)
    steps, chosen = edges(want, Have(running, known, active, door))
    release = replace(release, plan=replace(release.plan, steps=tuple(steps), edge=chosen))
    for step in steps:
        console.say(f"reverting: {step.phase}")
        match step.kind:
            case Kind.BESIDE:
                beside(release, step)
            case Kind.HAND_OVER:
                hand_over(release, step)
            case Kind.LEAVE:
                leave(release, step)
            case _:
                release.change_platform(step)
    return release


def door_images(running: EngineFacts, name: str) -> frozenset[str]:
    """The image of the door, where there is one."""
    door = edge.named(name, running, names.DOOR)
    return frozenset() if door is None else frozenset({door.image})


def _open_door(release: Release) -> None:
    """Let the edge that runs have the new connections of a door that was just started."""
    running = engine_facts.running(release.engine, release.name)
    there = [name for name in names.EDGES if edge.runs(edge.named(release.name, running, name))]
    chosen = release.plan.edge if release.plan.edge in there else next(iter(there), None)
    if chosen is not None:
        _send_to(release, chosen)


def _send_to(release: Release, name: str) -> None:
    """Send new connections to an edge, which may have been told to drain when it was left."""
    running = engine_facts.running(release.engine, release.name)
    chosen = edge.named(release.name, running, name)
    release.state.check()
    if chosen is not None:
        edge.keep(chosen.id)
    edge.hand_over(_door(release), name)


def _drain(release: Release, container: Container) -> None:
    deadline = time.monotonic() + release.environment.drain_seconds
    while left := _open_at(container):
        if time.monotonic() > deadline:
            limit = release.environment.drain_seconds
            console.warn(f"drain limit of {limit} s reached; still open at the edge: {left}")
            return
        time.sleep(POLL_SECONDS)


def _open_at(container: Container) -> int:
    """Tell an edge to drain; the connections still open there, none where it does not answer."""
    try:
        return edge.drain(container.id)
    except SlipwayError as error:
        console.warn(
            f"{container.service} does not answer, so its connections are not waited for: "
            f"{error.message}"
        )
        return 0


def _brief(release: Release, name: str) -> None:
    """Tell the new edge what the other one serves, and whether callers are turned away."""
    running = engine_facts.running(release.engine, release.name)
    other = edge.named(release.name, running, names.other_edge(name))
    new = edge.named(release.name, running, name)
    if new is None or other is None or other.state != "running":
        return
    old = other.id
    release.state.check()
    generation = _served(release, old)
    if generation is not None:
        _switch(release, new.id, generation)
    state = edge.maintenance(old)
    if state["on"] or edge.maintenance(new.id)["on"]:
        edge.maintain(new.id, state["message"] if state["on"] else None)


def _served(release: Release, container_id: str) -> int | None:
    """What an edge serves; what was released last where it does not answer."""
    try:
        found: int | None = edge.status(container_id)["generation"]
    except SlipwayError:
        found = state_facts.parse(release.state.read()).committed_generation
    return found


def _switch(release: Release, container_id: str, generation: int) -> None:
    deadline = time.monotonic() + release.environment.ready_seconds
    while True:
        try:
            edge.switch(container_id, generation)
        except edge.GenerationRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def _door(release: Release) -> str:
    running = engine_facts.running(release.engine, release.name)
    door = edge.named(release.name, running, names.DOOR)
    if door is None:
        raise SlipwayError(
            f"The door of {release.name} does not run",
            next_command=f"invoke logs --env {release.name} --service door",
        )
    return door.id
