"""The edge counts what each generation answered."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any

import pytest
from edge_rig import Edge, docker, until


def counted(edge: Edge, generation: int = 1) -> dict[str, Any]:
    """The counters of a generation; a fresh one has none."""
    nothing = {"requests": 0, "failed": 0, "busy": 0, "buckets": {}}
    found: dict[str, Any] = edge.status()["figures"].get(str(generation), nothing)
    return found


def gained(edge: Edge, before: dict[str, Any], requests: int) -> dict[str, int]:
    """What was counted since `before`, once `requests` more are."""
    until(
        f"{requests} more requests counted",
        lambda: counted(edge)["requests"] == before["requests"] + requests,
    )
    now = counted(edge)
    assert now["buckets"]["inf"] == now["requests"]
    return {name: now[name] - before[name] for name in ("requests", "failed", "busy")}


def test_an_answer_counts_once_and_a_5xx_as_failed(edge: Edge) -> None:
    """4xx is the caller's own; 503 with Retry-After of the backend is told apart as busy."""
    before = counted(edge)
    for path in ("/", "/code?404", "/code?429", "/code?204", "/code?500", "/code?503"):
        edge.ask(path)
    edge.ask("/", "HEAD")
    assert gained(edge, before, 7) == {"requests": 7, "failed": 2, "busy": 1}


def test_what_the_edge_answers_by_itself_belongs_to_no_generation(edge: Edge) -> None:
    """Health checks, hidden pages and bodies too large reach no backend."""
    before = counted(edge)
    for path in ("/health", "/metrics", "/health/ready"):
        edge.ask(path)
    edge.ask("/v1/search", "POST", bytes(2 << 20))
    edge.ask("/")
    assert gained(edge, before, 1)["failed"] == 0


def test_a_stream_counts_when_it_ends_with_the_time_until_it_began(edge: Edge) -> None:
    """It takes two seconds to end, and its caller waited none."""
    before = counted(edge)
    edge.ask("/stream")
    assert gained(edge, before, 1)["failed"] == 0
    now = counted(edge)
    assert now["buckets"]["1"] - before["buckets"].get("1", 0) == 1


def test_an_answer_that_breaks_off_is_failed(edge: Edge) -> None:
    """Its status said 200 before the backend was gone."""
    before = counted(edge)
    with pytest.raises(http.client.IncompleteRead):
        edge.ask("/torn")
    assert gained(edge, before, 1)["failed"] == 1


def test_a_caller_who_hangs_up_is_not_a_failure(edge: Edge) -> None:
    """Neither before the answer, nor in the middle of a stream."""
    before = counted(edge)
    context = ssl.create_default_context(cafile=str(edge.ca_file))
    for path, some in (("/slow?20", b""), ("/stream", b"data: 0")):
        with (
            socket.create_connection(("127.0.0.1", edge.https)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            until("the request in flight", lambda: edge.in_flight() == 1)
            seen = b""
            while some not in seen:
                seen += connection.recv(4096)
        until("the request given back", lambda: edge.in_flight() == 0)
    assert gained(edge, before, 2)["failed"] == 0


def test_a_retried_request_counts_once_by_its_final_answer(new_edge: Edge) -> None:
    """One backend of two is dead; every request is answered, and counted as answered."""
    edge = new_edge
    edge.start()
    dead = edge.backend(1)
    edge.backend(1)
    edge.switch(1, backends=2)
    docker("kill", dead)
    for _ in range(10):
        assert edge.ask("/")[0] == 200
    assert gained(edge, counted(edge) | {"requests": 0, "failed": 0, "busy": 0}, 10) == {
        "requests": 10,
        "failed": 0,
        "busy": 0,
    }


def test_a_generation_without_backends_is_charged_with_what_it_could_not_answer(
    new_edge: Edge,
) -> None:
    """Nobody answered, so somebody has to be seen to have failed."""
    edge = new_edge
    edge.start()
    edge.backend(1)
    edge.switch(1)
    edge.remove(edge.started[0])
    until("nobody left", lambda: not any(each["serving"] for each in edge.status()["addresses"]))
    before = counted(edge)
    assert edge.ask("/")[0] == 503
    assert gained(edge, before, 1)["failed"] == 1


def test_every_generation_is_counted_by_itself(new_edge: Edge) -> None:
    """Which is what a soak compares."""
    edge = new_edge
    edge.start()
    edge.backend(1)
    edge.backend(2)
    for generation, asked in ((1, 3), (2, 5)):
        edge.switch(generation)
        for _ in range(asked):
            edge.ask("/")
    until("both counted", lambda: counted(edge, 2)["requests"] == 5)
    assert counted(edge, 1)["requests"] == 3
