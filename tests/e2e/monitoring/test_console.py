"""The console shows a real environment through its door, and what is missing as missing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from site_copy import NAME
from watch_rig import Watched

#: Panels that have data only where there is something that this environment has not.
ELSEWHERE = {"first_token", "tokens", "lag", "point"}


@pytest.fixture(scope="module")
def console(watched: Watched) -> Iterator[httpx.Client]:
    """Somebody who has logged in at the console."""
    site = watched.site
    password = (site.root / ".slipway" / NAME / "console_password").read_text()
    with httpx.Client(base_url=site.url, verify=site.trust, timeout=30) as http:
        assert http.get("/ops/api/state").status_code == 401
        assert http.post("/ops/api/login", json={"password": "guess"}).status_code == 401
        assert http.post("/ops/api/login", json={"password": password}).status_code == 204
        yield http


def test_the_screen_knows_all_of_the_environment(watched: Watched, console: httpx.Client) -> None:
    def everything() -> bool:
        found = console.get("/ops/api/state").json()
        return (
            found["missing"] == []
            and found["serving"]["state"] == "up"
            and bool(found["objectives"])
            and bool(found["pipeline"]["stages"])
        )

    watched.eventually(everything, "a whole screen")
    found = console.get("/ops/api/state").json()
    assert found["environment"] == NAME
    assert found["alerts"] == []
    assert {each["service"] for each in found["services"]} >= {"backend", "edge", "postgres"}
    generation = str(watched.site.status()["generation"])
    serving = [each["instance"] for each in found["instances"] if each["serves"]]
    assert serving == [f"g{generation}-{each}" for each in ("backend-1", "backend-2", "worker-1")]
    assert all(each["healthy"] for each in found["instances"])
    assert [each["role"] for each in found["database"]] == ["primary"]
    assert found["backups"] is None
    assert found["disk"]["free_bytes"] > 0
    assert found["certificate_seconds"] > 0
    assert generation in [each["generation"] for each in found["releases"]]


def test_the_release_that_brought_it_is_shown_with_its_steps(
    watched: Watched, console: httpx.Client
) -> None:
    shown = console.get("/ops/api/releases").json()["releases"]
    history = watched.site.invoke("history", "--env", NAME, "--json", "--last", "0")
    assert shown == json.loads(history.text)
    assert shown[-1]["result"] == "done"
    assert shown[-1]["steps"] and shown[-1]["phases"]


def test_every_panel_has_data(watched: Watched, console: httpx.Client) -> None:
    def without() -> set[str]:
        panels = [each["name"] for each in console.get("/ops/api/panels").json()["panels"]]
        answers = {
            name: console.get("/ops/api/series", params={"panel": name, "hours": 1})
            for name in panels
        }
        assert {each.status_code for each in answers.values()} == {200}
        return {name for name, each in answers.items() if not each.json()["series"]}

    watched.eventually(lambda: without() <= ELSEWHERE, "data of every panel")


def test_everybody_may_know_how_it_is(watched: Watched) -> None:
    site = watched.site
    with httpx.Client(base_url=site.url, verify=site.trust, timeout=30) as anybody:

        def measured() -> bool:
            told = anybody.get("/status.json").json()
            return told["state"] == "up" and told["days"][-1]["answered"] is not None

        watched.eventually(measured, "a first share of the day")
        page = anybody.get("/status")
        assert page.headers["cache-control"] == "public, max-age=30"
        assert "Everything works" in page.text
        assert "backend" not in page.text


def test_a_source_that_is_stopped_is_told_as_missing(
    watched: Watched, console: httpx.Client
) -> None:
    prometheus = watched.container("prometheus")
    prometheus.stop()
    try:
        watched.eventually(
            lambda: console.get("/ops/api/state").json()["missing"] == ["Prometheus"],
            "the missing Prometheus",
        )
        found = console.get("/ops/api/state").json()
        assert found["serving"]["state"] == "unknown"
        assert found["services"] is None
        assert found["alerts"] is not None
        asked = console.get("/ops/api/series", params={"panel": "requests", "hours": 1})
        assert asked.status_code == 503
    finally:
        prometheus.start()
    watched.eventually(
        lambda: console.get("/ops/api/state").json()["serving"]["state"] == "up", "an answer again"
    )
