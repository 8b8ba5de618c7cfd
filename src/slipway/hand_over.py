"""Replacing the edge while it serves: another beside it, the door between, a drain at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slipway import console, edge
from slipway.config import names
from slipway.errors import SlipwayError
from slipway.facts import engine as engine_facts
from slipway.plans.release import Step

if TYPE_CHECKING:
    from slipway.apply import Release

POLL_SECONDS = 0.5
# Longer than the edge gives requests when it is told to stop.
STOP_SECONDS = 40


def beside(release: Release, step: Step) -> None:
    """Start the other edge, which nobody reaches yet, and wait until it could serve."""
    stack = release.stack("platform")
    release.state.keep("platform.json", stack.text())
    release.up(stack, step.subject, recreate=step.recreate)
    release.wait_for(stack, step.subject)
    _brief(release, step.subject)


def hand_over(release: Release, step: Step) -> None:
    """Send new connections to the other edge; established ones stay where they are."""
    _brief(release, step.subject)
    edge.hand_over(_door(release), step.subject)


def leave(release: Release, step: Step) -> None:
    """Wait until the edge that was left holds no connection, counted, and remove it.

    Each connection is closed with its next answer, or when it was idle for as long as any edge
    keeps one; streams end by themselves. At the drain limit the edge is told to quit, which lets
    requests finish but no connection wait for another.
    """
    running = engine_facts.read(release.engine, release.name)
    container = edge.named(release.name, running, step.subject)
    if container is None:
        return
    if container.state == "running":
        if edge.serving(release.name, running) == step.subject:
            raise SlipwayError(
                f"{step.subject} still gets new connections, so it is not removed",
                next_command=f"invoke release --env {release.name} --plan",
            )
        _drain(release, container.id)
    edge.remove(container.id, STOP_SECONDS)


def free_ports(release: Release) -> None:
    """Remove an edge of an older version, which publishes the ports that the door needs.

    Raises SlipwayError, before anything is touched, on a host that does not let a door route.
    """
    running = engine_facts.read(release.engine, release.name)
    for name in names.EDGES:
        container = edge.named(release.name, running, name)
        if container is not None and container.published:
            edge.try_door(release.images["edge"])
            edge.remove(container.id, STOP_SECONDS)


def open_door(release: Release) -> None:
    """Let the edge that runs have the new connections of a door that was just started."""
    running = engine_facts.read(release.engine, release.name)
    there = [name for name in names.EDGES if edge.runs(edge.named(release.name, running, name))]
    chosen = release.plan.edge if release.plan.edge in there else next(iter(there), None)
    if chosen is not None:
        edge.hand_over(_door(release), chosen)


def _drain(release: Release, container_id: str) -> None:
    deadline = time.monotonic() + release.environment.drain_seconds
    while left := edge.drain(container_id):
        if time.monotonic() > deadline:
            limit = release.environment.drain_seconds
            console.warn(f"drain limit of {limit} s reached; still open at the edge: {left}")
            return
        time.sleep(POLL_SECONDS)


def _brief(release: Release, name: str) -> None:
    """Tell the new edge what the serving one serves, and whether callers are turned away."""
    running = engine_facts.read(release.engine, release.name)
    old = edge.container(release.name, running)
    new = edge.named(release.name, running, name)
    if new is None or old in {None, new.id}:
        return
    assert old is not None
    generation = edge.status(old)["generation"]
    if generation is not None:
        _switch(release, new.id, generation)
    state = edge.maintenance(old)
    if state["on"] or edge.maintenance(new.id)["on"]:
        edge.maintain(new.id, state["message"] if state["on"] else None)


def _switch(release: Release, container_id: str, generation: int) -> None:
    deadline = time.monotonic() + release.environment.ready_seconds
    while True:
        try:
            edge.switch(container_id, generation)
        except edge.SwitchRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def _door(release: Release) -> str:
    running = engine_facts.read(release.engine, release.name)
    door = edge.named(release.name, running, names.DOOR)
    if door is None:
        raise SlipwayError(
            f"The door of {release.name} does not run",
            next_command=f"invoke logs --env {release.name} --service door",
        )
    return door.id
