"""No request is lost: while the backend is changed, and when a backend is killed."""

from __future__ import annotations

import time
import uuid

from load import Load
from site_copy import NAME, Site

from slipway.report import Result

RATE = 40
MOST_SECONDS = 240.0


def load_on(site: Site, seconds: float) -> Load:
    """Lists of documents for a logged-in user, every second one on a fresh connection."""
    with site.client() as http:
        token = http.headers["authorization"]
    return Load(
        f"{site.url}/v1/documents?limit=5",
        site.authority,
        RATE,
        seconds,
        headers={"authorization": token},
    )


def test_a_one_line_change_of_the_backend_rolls_only_the_app_and_loses_nothing(
    released: Site, figures: list[Result]
) -> None:
    before = released.status()
    platform = {
        name: started for name, started in released.containers().items() if "platform" in name
    }
    path = released.root / "services/backend/src/slipway_backend/__init__.py"
    # Never the same twice: the registry keeps what an earlier run of the tests has built.
    path.write_text(path.read_text() + f"\nCHANGED = {uuid.uuid4().hex!r}\n")
    with load_on(released, MOST_SECONDS) as load:
        began = time.monotonic()
        answer = released.invoke("release", "--env", NAME)
        seconds = round(time.monotonic() - began, 1)
        result = load.stop()
    figures.append(Result("release of a one-line change", seconds, "s"))
    figures.append(result.figure("a one-line change is released"))
    assert answer.exit_code == 0, answer.text
    assert "build backend; unchanged: edge, postgres, toolbox" in answer.text
    after = released.status()
    assert after["generation"] > before["generation"]
    assert {
        name: started for name, started in released.containers().items() if "platform" in name
    } == platform
    assert {each["generation"] for each in after["containers"]} == {None, after["generation"]}
    assert result.ok > RATE
    assert dict(result.failed) == {}
    assert set(result.generations) == {str(before["generation"]), str(after["generation"])}


def test_killing_one_backend_loses_nothing_and_it_comes_back(
    released: Site, figures: list[Result]
) -> None:
    backends = [
        each["name"] for each in released.status()["containers"] if each["service"] == "backend"
    ]
    victim = released.engine.containers.get(backends[0])
    with load_on(released, 60) as load:
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
    assert dict(result.failed) == {}
    assert result.ok > RATE
    assert len(released.status()["edge"]["addresses"]) == 2
