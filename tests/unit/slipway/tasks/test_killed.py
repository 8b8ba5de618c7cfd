"""Whoever releases is killed before, during or after any step: the next run finishes, unnoticed.

The moments are those that the release itself goes through. At each one everything is copied, as
a kill leaves it; then the next run starts from each copy, while the lease names a process that
has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from standin_world import World

from slipway.plans.steps import Kind

RELEASE = ("release", "--env", "dev")
BACK = ("rollback", "--env", "dev")


def nothing(_world: World) -> None:
    """What comes before a first release."""


def app(world: World) -> None:
    """A release before, and a change of the app."""
    assert world.release().exit_code == 0
    world.change("services/backend/app.py")


def platform(world: World) -> None:
    """A release before, and a change of the edge's image."""
    assert world.release().exit_code == 0
    world.change("infra/nginx/Dockerfile")


def platform_back(world: World) -> None:
    """Two releases before, of which the second changed the edge."""
    platform(world)
    assert world.release().exit_code == 0


def without_door(world: World) -> None:
    """A release before, on a host that let no door route and does now."""
    world.standin.faults.no_nat = "the kernel refused the door's rules: Operation not supported"
    assert world.release().exit_code == 0
    world.standin.faults.no_nat = ""


def door_lost(world: World) -> None:
    """A release before, to the other edge, and a kernel that lets no door route any more."""
    platform_back(world)
    (door,) = (
        each
        for each in world.standin.project("slipway-dev-platform")
        if each["Name"].endswith("-door-1")
    )
    door["State"]["Health"]["Status"] = "unhealthy"
    world.standin.faults.no_nat = "the kernel refused the door's rules: Operation not supported"


def secret(world: World) -> None:
    """A release before, and another password of the database."""
    assert world.release().exit_code == 0
    typed = ("--env", "dev", "--name", "slipway_password")
    assert world.invoke("secrets.put", *typed, typed="another-password").exit_code == 0


def replicas(world: World) -> None:
    """What comes before a first release with replicas."""
    world.configure(database={"replicas": 2, "synchronous": True})


def given_replicas(world: World) -> None:
    """A release before, of a plain server."""
    assert world.release().exit_code == 0
    replicas(world)


def data_tier(world: World) -> None:
    """A release before with replicas, and a change of their image."""
    replicas(world)
    assert world.release().exit_code == 0
    world.change("infra/postgres/Dockerfile")


def fewer_replicas(world: World) -> None:
    """A release before with replicas, of which the one that goes takes the writes."""
    replicas(world)
    assert world.release().exit_code == 0
    world.standin.primaries["dev"] = "postgres-3"
    world.configure(database={"replicas": 1, "synchronous": True})


def way_back(world: World) -> None:
    """Two releases before."""
    app(world)
    assert world.release().exit_code == 0


def warm(world: World) -> None:
    """A release that was killed once it served, so that the one before is still warm."""
    app(world)

    def moment(when: str, step: str) -> None:
        if when == "before" and step.startswith(Kind.RETIRE):
            world.remember("warm")

    world.standin.on_moment = moment
    assert world.release().exit_code == 0
    world.recall("warm")
    world.standin.change_lease(expires=0.0)


RUNS: dict[str, tuple[Callable[[World], None], tuple[str, ...]]] = {
    "the first release": (nothing, RELEASE),
    "a change of the app": (app, RELEASE),
    "a change of the platform": (platform, RELEASE),
    "a change of a secret": (secret, RELEASE),
    "replicas for a plain server": (given_replicas, RELEASE),
    "a change of the data tier": (data_tier, RELEASE),
    "fewer replicas": (fewer_replicas, RELEASE),
    "a rollback": (way_back, BACK),
    "a rollback to what is warm": (warm, BACK),
    "a rollback of the platform": (platform_back, BACK),
    "a door that takes the ports": (without_door, RELEASE),
    "an edge that takes the ports": (door_lost, RELEASE),
}
HANDS_OVER = {"beside", "hand-over", "leave"}
REPLACED = {
    platform: HANDS_OVER,
    platform_back: HANDS_OVER,
    without_door: HANDS_OVER | {"platform"},
    data_tier: {"member", "switchover"},
    fewer_replicas: {"switchover", "dismiss"},
}


def whole(world: World, generation: int | None) -> bool:
    """Whether a generation's containers are all there and healthy."""
    found = world.standin.project(f"slipway-dev-g{generation}")
    services = sorted(each["Config"]["Labels"]["com.docker.compose.service"] for each in found)
    healthy = {each["State"]["Health"]["Status"] for each in found} == {"healthy"}
    return healthy and services == ["backend", "backend", "worker"]


def edges(world: World) -> set[str]:
    """The edges that run."""
    return {
        each["Config"]["Labels"]["com.docker.compose.service"]
        for each in world.standin.project("slipway-dev-platform")
        if each["State"]["Status"] == "running"
    }


def servers(world: World) -> set[str]:
    """The servers of the data tier that run."""
    return {
        each["Config"]["Labels"]["com.docker.compose.service"]
        for each in world.standin.project("slipway-dev-platform")
        if each["State"]["Status"] == "running"
    }


@pytest.mark.parametrize(("before", "words"), RUNS.values(), ids=RUNS)
def test_the_next_run_finishes_what_was_killed_at_any_moment(
    world: World,
    before: Callable[[World], None],
    words: tuple[str, ...],
    ended: dict[str, Any],
) -> None:
    before(world)
    unrouted = world.standin.faults.no_nat
    old = world.images()
    moments: list[str] = []

    def moment(when: str, step: str) -> None:
        # Before a step everything is as it was after the one before: that one is tried.
        if when == "before" and moments:
            return
        moments.append(f"{len(moments):02} {when} {step.split(maxsplit=1)[0]}")
        world.remember(moments[-1])

    world.standin.on_moment = moment
    assert world.invoke(*words).exit_code == 0
    new = world.images()
    steps = {each.split(maxsplit=2)[2] for each in moments}
    assert {each.split()[1] for each in moments} == {"before", "during", "after"}
    assert steps <= {str(kind) for kind in Kind}
    assert steps >= REPLACED.get(before, set())
    for name in moments:
        world.recall(name)
        world.standin.faults.no_nat = unrouted
        if old:
            # Who asks is answered, by a generation that is whole.
            assert whole(world, world.standin.generation), name
        if before in {data_tier, fewer_replicas}:
            # Somebody who runs takes the writes.
            assert world.standin.primaries["dev"] in servers(world), name
        if before in {platform, platform_back}:
            # New connections are sent to an edge that runs.
            assert (world.standin.serving_edge or "edge") in edges(world), name
        world.standin.change_lease(process=ended, expires=1e11)
        finished = world.invoke(*words)
        assert finished.exit_code == 0, (name, finished)
        assert world.images() == new, name
        assert world.generations() == {f"slipway-dev-g{world.standin.generation}"}, name
        assert whole(world, world.standin.generation), name
        assert world.ledger()[-1]["result"] == "done", name
        assert world.standin.toolboxes == {}, name


def test_a_release_takes_back_a_rollback_of_the_platform_that_was_killed_at_any_moment(
    world: World, ended: dict[str, Any]
) -> None:
    """It ends well, and the one after it has nothing to do: what was begun is nobody's drift."""
    platform_back(world)
    moments: list[str] = []

    def moment(when: str, step: str) -> None:
        moments.append(f"{len(moments):02} {when} {step.split(maxsplit=1)[0]}")
        world.remember(moments[-1])

    world.standin.on_moment = moment
    assert world.invoke(*BACK).exit_code == 0
    assert {each.split()[2] for each in moments} >= HANDS_OVER
    for name in moments:
        world.recall(name)
        world.standin.change_lease(process=ended, expires=1e11)
        taken_back = world.release()
        assert taken_back.exit_code == 0, (name, taken_back)
        assert "Nothing to do" in world.release().output, name


@pytest.mark.parametrize("source", ["services/backend/app.py", "infra/nginx/Dockerfile"])
def test_a_rollback_takes_back_a_release_that_was_killed_at_any_moment(
    world: World, ended: dict[str, Any], source: str
) -> None:
    """It counts as one on top from its first step on, also while the one before still serves."""
    way_back(world)
    before, last = world.images(), world.ledger()[-1]["number"]
    world.change(source)
    moments: list[str] = []

    def moment(when: str, step: str) -> None:
        # Before its first step nothing of it is written.
        if when == "before" and not moments:
            return
        moments.append(f"{len(moments):02} {when} {step.split(maxsplit=1)[0]}")
        world.remember(moments[-1])

    world.standin.on_moment = moment
    assert world.release().exit_code == 0
    for name in moments:
        world.recall(name)
        world.standin.change_lease(process=ended, expires=1e11)
        finished = world.invoke(*BACK)
        assert finished.exit_code == 0, (name, finished)
        assert world.images() == before, name
        assert world.ledger()[-1]["to"] == last, name
        assert world.generations() == {f"slipway-dev-g{world.standin.generation}"}, name
        assert whole(world, world.standin.generation), name
