"""No request is lost: while the backend is changed, and when a backend is killed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from mix import LIMITS, Rates, mixed
from site_copy import NAME, Site, merged
from slow_model import slow_model

from slipway.report import Result

WITH_STREAMS = Rates(lists=30, searches=1, uploads=0.5, streams=0.3)
# An answer that has begun dies with its backend; everything else is sent to another one.
WITHOUT_STREAMS = Rates(lists=30, searches=1, uploads=0.5)
MOST_SECONDS = 300.0


@pytest.fixture(scope="module")
def talking(released: Site) -> Iterator[Site]:
    """The site with a language model that writes an answer for 10 to 20 seconds.

    All of the load is one user, whom the limit of one user's requests would rightly turn away while
    a build beside the load has both cores.
    """
    with slow_model((10, 20)) as services:
        released.services = merged({"backend": LIMITS["backend"]}, services)
        released.set_environment()
        assert released.invoke("release", "--env", NAME).exit_code == 0
        yield released
        released.services = {}
        released.set_environment()
        assert released.invoke("release", "--env", NAME).exit_code == 0


def test_a_one_line_change_of_the_backend_rolls_only_the_app_and_loses_nothing(
    talking: Site, figures: list[Result]
) -> None:
    released = talking
    before = released.status()
    platform = {
        name: started for name, started in released.containers().items() if "platform" in name
    }
    path = released.root / "services/backend/src/slipway_backend/__init__.py"
    # Never the same twice: the registry keeps what an earlier run of the tests has built.
    path.write_text(path.read_text() + f"\nCHANGED = {uuid.uuid4().hex!r}\n")
    with mixed(released, WITH_STREAMS, MOST_SECONDS) as load:
        began = time.monotonic()
        answer = released.invoke("release", "--env", NAME)
        seconds = round(time.monotonic() - began, 1)
        result = load.stop()
    figures.append(Result("release of a one-line change", seconds, "s"))
    figures.append(result.figure("a one-line change is released"))
    assert answer.exit_code == 0, answer.text
    unchanged = "backup, edge, etcd, logs, monitoring, postgres, toolbox"
    assert f"build backend; unchanged: {unchanged}" in answer.text
    after = released.status()
    assert after["generation"] > before["generation"]
    assert {
        name: started for name, started in released.containers().items() if "platform" in name
    } == platform
    assert {each["generation"] for each in after["containers"]} == {None, after["generation"]}
    assert load.losses() == []
    assert {each.kind for each in result.samples} == {"list", "search", "upload", "stream"}
    assert set(result.generations) == {str(before["generation"]), str(after["generation"])}


def test_killing_one_backend_loses_nothing_and_it_comes_back(
    released: Site, figures: list[Result]
) -> None:
    backends = [
        each["name"] for each in released.status()["containers"] if each["service"] == "backend"
    ]
    victim = released.engine.containers.get(backends[0])
    with mixed(released, WITHOUT_STREAMS, MOST_SECONDS) as load:
        time.sleep(2)
        victim.kill("SIGKILL")
        time.sleep(6)
        victim.start()
        deadline = time.monotonic() + 40
        while not all(address["ready"] for address in released.status()["edge"]["addresses"]):
            assert time.monotonic() < deadline, "the killed backend did not come back"
            time.sleep(1)
        time.sleep(2)
        result = load.stop()
    figures.append(result.figure("one backend of two is killed and started again"))
    assert load.losses() == []
    assert len(released.status()["edge"]["addresses"]) == 2
