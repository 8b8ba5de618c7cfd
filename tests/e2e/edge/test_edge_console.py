"""The console stands behind the edge, and nothing that keeps users out keeps out who looks why."""

from __future__ import annotations

import json

import pytest
from edge_rig import Edge, until


@pytest.fixture(scope="module")
def consoled(edge: Edge) -> Edge:
    """The edge, with a console beside it."""
    edge.console()
    until("the console's answer", lambda: edge.ask("/ops/")[0] == 200)
    return edge


def test_the_console_is_asked_for_its_own_paths_alone(consoled: Edge) -> None:
    told = json.loads(consoled.ask("/ops/api/state?now", headers={"Cookie": "a=b"})[2])
    assert told["path"] == "/ops/api/state?now"
    assert told["headers"]["Cookie"] == "a=b"
    assert told["headers"]["X-Forwarded-Proto"] == "https"
    status, headers, _ = consoled.ask("/ops")
    assert (status, headers["location"]) == (308, "https://localhost:8443/ops/")


@pytest.mark.parametrize("path", ["/status", "/status.json", "/status.css"])
def test_the_public_page_is_the_consoles_too(consoled: Edge, path: str) -> None:
    told = json.loads(consoled.ask(path)[2])
    assert (told["path"], told["headers"]["Host"]) == (path, f"localhost:{consoled.https}")


def test_its_requests_are_nobodys_to_count(consoled: Edge) -> None:
    def counted() -> int:
        return int(consoled.status()["figures"].get("1", {"requests": 0})["requests"])

    before = counted()
    for path in ("/ops/", "/status.json"):
        consoled.ask(path)
    consoled.ask("/")
    until("one more request", lambda: counted() == before + 1)


def test_maintenance_does_not_keep_it_out(consoled: Edge) -> None:
    assert consoled.command("maintenance", "on")[0] == 0
    try:
        assert consoled.ask("/")[0] == 503
        assert consoled.ask("/ops/")[0] == 200
    finally:
        consoled.command("maintenance", "off")


def test_without_a_console_the_edge_says_so_and_serves_on(new_edge: Edge) -> None:
    new_edge.start()
    new_edge.backend(1)
    new_edge.switch(1)
    status, headers, _ = new_edge.ask("/ops/")
    assert (status, headers["content-type"]) == (502, "application/problem+json")
    assert new_edge.ask("/")[0] == 200
