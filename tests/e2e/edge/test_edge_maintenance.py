"""Maintenance turns callers away with a clear answer, and loses nothing that is under way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from edge_rig import Edge, docker, until

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def maintained(edge: Edge) -> Edge:
    """The edge, put back to serving when the test is over."""
    code, _ = edge.command("maintenance", "off")
    assert code == 0
    return edge


@pytest.fixture(autouse=True)
def _ends_serving(edge: Edge) -> object:
    yield
    edge.command("maintenance", "off")


def test_callers_are_told_in_the_form_that_they_ask_for(maintained: Edge) -> None:
    """503 with Retry-After: a problem for a program, a page for a browser."""
    edge = maintained
    code, state = edge.command("maintenance", "on", "--message", "Back at 9 & <soon>: 100%")
    assert code == 0, state
    status, headers, body = edge.ask("/v1/search", "POST", b"{}")
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert (headers["retry-after"], headers["cache-control"]) == ("60", "no-store")
    problem = json.loads(body)
    assert (problem["title"], problem["detail"]) == ("Maintenance", "Back at 9 & <soon>: 100%")
    assert problem["request_id"] == headers["x-request-id"]
    status, headers, body = edge.ask("/", headers=BROWSER)
    assert (status, headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert headers["retry-after"] == "60"
    assert b"<p>Back at 9 &amp; &lt;soon&gt;: 100%</p>" in body
    assert edge.command("maintenance", "off")[0] == 0
    assert edge.ask("/", headers=BROWSER)[0] == 200


def test_health_answers_as_without_maintenance(maintained: Edge) -> None:
    """A watcher is not woken by what was planned; what is hidden stays hidden."""
    edge = maintained
    edge.command("maintenance", "on")
    assert edge.ask("/health")[::2] == (200, b'{"status":"serving"}\n')
    assert edge.ask("/metrics")[0] == 404


def test_requests_in_flight_finish_and_switches_go_on(maintained: Edge) -> None:
    """And an operator with the pass sees what is behind the page, which no backend is told."""
    edge = maintained
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(edge.ask, "/slow?3")
        until("the slow request in flight", lambda: edge.in_flight() == 1)
        state = edge.command("maintenance", "on")[1]
        assert edge.ask("/")[0] == 503
        assert slow.result()[0] == 200
    edge.backend(2)
    assert edge.switch(2)["generation"] == 2
    status, headers, body = edge.ask("/", headers={"X-Slipway-Maintenance": state["pass"]})
    assert (status, headers["x-slipway-generation"]) == (200, "2")
    assert state["pass"] not in body.decode()
    assert edge.ask("/", headers={"X-Slipway-Maintenance": "guessed"})[0] == 503


def test_nobody_is_charged_with_what_maintenance_turned_away(maintained: Edge) -> None:
    """The figures of a generation tell what the generation did."""
    edge = maintained
    edge.ask("/")
    generation = str(edge.status()["generation"])

    def figures() -> dict[str, int]:
        found: dict[str, int] = edge.status()["figures"][generation]
        return {name: found[name] for name in ("requests", "failed")}

    before = figures()
    edge.command("maintenance", "on")
    assert edge.ask("/")[0] == 503
    assert figures() == before


def test_maintenance_outlives_the_container_and_its_agent(new_edge: Edge) -> None:
    """It is on from the first request after a restart."""
    edge = new_edge
    edge.start()
    edge.backend(1)
    edge.switch(1)
    state = edge.command("maintenance", "on", "--message", "back soon")[1]
    pid = edge.status()["agent"]["pid"]
    docker("exec", edge.name, "python3", "-c", f"import os; os.kill({pid}, 9)")
    until("a new agent", lambda: edge.status()["agent"].get("rounds"))
    assert edge.command("maintenance")[1] == state
    docker("restart", "--time", "35", edge.name)
    edge.ports()
    until("answering again", lambda: edge.command("health")[0] == 0)
    assert json.loads(edge.ask("/")[2])["detail"] == "back soon"
    until("the agent", lambda: edge.status()["agent"].get("rounds"))
    assert edge.status()["maintenance"] == {"message": "back soon", "since": state["since"]}
    assert edge.command("maintenance", "off")[0] == 0
    assert edge.ask("/")[0] == 200
