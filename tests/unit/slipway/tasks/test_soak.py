"""A new generation that does not hold its soak goes back by itself, with everything it brought."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from standin_engine import Answers, Faults
from standin_world import World

from slipway import artifacts
from slipway.config import names
from slipway.facts.manifest import Manifest

APP, EDGE = "services/backend/app.py", "infra/nginx/Dockerfile"
WELL = Answers(requests=100)


def failing(faults: Faults) -> None:
    """Two of a hundred answers of the new generation are failures."""
    faults.answers = {1: WELL, 2: Answers(requests=100, failed=2)}


def slow(faults: Faults) -> None:
    """The new generation takes more than twice as long."""
    faults.answers = {1: WELL, 2: Answers(requests=100, seconds="1")}


def restarting(faults: Faults) -> None:
    """A worker of the new generation does not stay up."""
    faults.restarting = ("worker",)


COMPLAINTS: dict[Callable[[Faults], None], str] = {
    failing: r"4 of 200 requests failed: 2.0 %, before 0.0 %",
    slow: r"95 % of the answers took up to 0.97 s, before 0.05 s",
    restarting: r"its containers restarted \d+ times",
}


@pytest.fixture
def soaking(released: World) -> World:
    """A released world whose next release soaks."""
    released.soak(seconds=20, requests=200, failed_percent=1, slower=2, restarts=0)
    return released


def running(world: World) -> dict[str, set[str]]:
    """Service -> the images that its containers run, without the registry's host."""
    found: dict[str, set[str]] = {}
    for each in world.standin.containers.values():
        service = each["Config"]["Labels"]["com.docker.compose.service"]
        service = names.EDGES[0] if service in names.EDGES else service
        image = each["Config"]["Image"].removeprefix(f"{world.standin.registry}/")
        found.setdefault(service, set()).add(image)
    return found


def of_manifest(world: World, digest: str) -> dict[str, set[str]]:
    """Service -> the image that the manifest of this digest names."""
    found = artifacts.known(world.standin.registry, Manifest, digest)
    assert found is not None
    images = found.document.images
    services = {"worker": "backend", names.DOOR: "edge"}
    services |= {name: name for name in ("backend", "edge", "postgres")}
    return {service: {images[image]} for service, image in services.items()}


@pytest.mark.parametrize("wrong", COMPLAINTS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("sources", [(APP,), (APP, EDGE)], ids=["app", "app and edge"])
def test_what_does_not_hold_goes_back_whole(
    soaking: World, sources: tuple[str, ...], wrong: Callable[[Faults], None]
) -> None:
    for source in sources:
        soaking.change(source)
    wrong(soaking.standin.faults)
    ended = soaking.release()
    assert ended.exit_code == 1
    assert re.search(f"soak-failed: Generation 2 did not hold: {COMPLAINTS[wrong]}", ended.errors)
    assert "reverting to generation 1" in ended.output
    assert soaking.standin.generation == 1
    assert soaking.generations() == {"slipway-dev-g1"}
    first, last = soaking.ledger()
    assert running(soaking) == of_manifest(soaking, first["manifest"])
    assert (last["result"], last["code"]) == ("failed", "soak-failed")
    assert last["manifest"] != first["manifest"]


def test_what_holds_stays(soaking: World) -> None:
    soaking.change(APP)
    soaking.standin.faults.answers = {1: WELL, 2: Answers(requests=100, failed=1)}
    assert soaking.release().exit_code == 0
    assert soaking.generations() == {"slipway-dev-g2"}
    assert running(soaking) == of_manifest(soaking, soaking.ledger()[-1]["manifest"])


def test_a_few_answers_tell_nothing(soaking: World) -> None:
    soaking.change(APP)
    soaking.standin.faults.answers = {2: Answers(requests=10, failed=1)}
    assert soaking.release().exit_code == 0
