"""`invoke build` builds and pushes what is new, and names every image by its digest."""

from __future__ import annotations

import pytest
from standin_world import World


def test_all_images_are_built_and_named_by_digest(world: World) -> None:
    ended = world.invoke("build")
    assert (ended.exit_code, ended.errors) == (0, "")
    names = [line.partition("@sha256:")[0].strip() for line in ended.output.splitlines()[-8:]]
    first, second = ("backend", "backup", "edge", "etcd"), ("logs", "monitoring", "postgres")
    assert names == [
        f"{world.standin.registry}/slipway/{name}" for name in (*first, *second, "toolbox")
    ]


def test_each_part_of_the_build_is_shown_once(world: World) -> None:
    ended = world.invoke("build", "--service", "edge")
    assert ended.output.count("[edge 1/2] FROM slipway/base:trixie") == 1


def test_only_the_services_that_are_asked_for(world: World) -> None:
    world.invoke("build", "--service", "edge", "--service", "toolbox")
    assert world.standin.changes == ["build edge toolbox"]


def test_a_second_time_nothing_is_built(released: World) -> None:
    ended = released.invoke("build")
    assert ended.output.startswith(
        "images: nothing to build (backend, backup, edge, etcd, logs, monitoring, postgres, toolbox"
    )
    assert released.standin.changes == []


@pytest.mark.parametrize("name", ["front", "base"])
def test_an_unknown_service_is_refused_with_those_there_are(world: World, name: str) -> None:
    ended = world.invoke("build", "--service", name)
    assert ended.exit_code == 2
    assert ended.errors == (
        f"build: There is no image {name} "
        "(there are: backend, backup, edge, etcd, logs, monitoring, postgres, toolbox)\n"
        "  next: invoke build --service backend\n"
    )
    assert world.standin.commands == []
