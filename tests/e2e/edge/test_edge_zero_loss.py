"""No request is lost while generations switch and backends die, stop, come back and are added."""

from __future__ import annotations

from functools import partial

from edge_rig import Edge, docker, until
from load import Load

from slipway.report import Result

SWITCHES = 12


def wait_for(load: Load, more: int) -> None:
    """Wait until that many more requests were answered."""
    target = load.result.sent + more
    until(f"{more} more requests", lambda: load.result.sent >= target)


def drained(edge: Edge, generation: int) -> bool:
    """Whether no request is in flight on a generation."""
    count: int = edge.status()["in_flight_by_generation"][str(generation)]
    return count == 0


def test_twelve_switches_lose_nothing_and_every_count_returns_to_zero(
    new_edge: Edge, figures: list[Result]
) -> None:
    """300 requests a second, half on kept and half on fresh connections, over twelve switches."""
    edge = new_edge
    edge.start()
    for generation in (1, 1, 2, 2):
        edge.backend(generation)
    edge.switch(1, backends=2)
    with Load(f"{edge.url}/switching", edge.ca_file, 300, 280) as load:
        for number in range(SWITCHES):
            wait_for(load, 600)
            acknowledged = edge.switch(2 - number % 2, backends=2)
            assert acknowledged["generation"] == 2 - number % 2
    figures.append(load.result.figure("the edge switches twelve times"))
    assert load.result.failed == {}
    assert load.result.ok >= 600 * SWITCHES
    assert set(load.result.generations) == {"1", "2"}
    until("all counts at zero", lambda: edge.in_flight() == 0)


def test_backends_killed_stopped_started_and_added_lose_nothing(
    new_edge: Edge, figures: list[Result]
) -> None:
    """One backend is killed with SIGKILL and started again, one stopped and started, one added."""
    edge = new_edge
    edge.start()
    killed, stopped = edge.backend(1), edge.backend(1)
    edge.switch(1, backends=2)
    with Load(f"{edge.url}/dying", edge.ca_file, 250, 180) as load:
        wait_for(load, 500)
        docker("kill", "--signal", "KILL", killed)
        until("the dead one out", lambda: edge.ready() == 1)
        docker("start", killed)
        until("the killed one back", lambda: edge.ready() == 2)
        docker("stop", "--time", "10", stopped)
        until("the stopped one out", lambda: edge.ready() == 1)
        docker("start", stopped)
        until("the stopped one back", lambda: edge.ready() == 2)
        edge.backend(1)
        until("the added one in", lambda: edge.ready() == 3)
        wait_for(load, 500)
    figures.append(load.result.figure("backends are killed, stopped, started and added"))
    assert load.result.failed == {}
    until("all counts at zero", lambda: edge.in_flight() == 0)


def test_releases_that_remove_what_drained_lose_nothing(
    new_edge: Edge, figures: list[Result]
) -> None:
    """Start the next generation, switch, wait for the count of the old one, remove it; four times.

    The engine gives the freed addresses to the next generation, so stale connections would show.
    """
    edge = new_edge
    edge.start()
    old = [edge.backend(1), edge.backend(1)]
    edge.switch(1, backends=2)
    with Load(f"{edge.url}/releasing", edge.ca_file, 200, 180) as load:
        for generation in range(2, 6):
            new = [edge.backend(generation), edge.backend(generation)]
            edge.switch(generation, backends=2)
            until("the old generation drained", partial(drained, edge, generation - 1))
            for name in old:
                edge.remove(name)
            old = new
            wait_for(load, 300)
    figures.append(load.result.figure("four generations follow each other"))
    assert load.result.failed == {}
    assert set(load.result.generations) == {"1", "2", "3", "4", "5"}
    until("all counts at zero", lambda: edge.in_flight() == 0)


def test_writes_survive_a_killed_backend(new_edge: Edge, figures: list[Result]) -> None:
    """A POST in flight on a backend that dies is sent to the other one."""
    edge = new_edge
    edge.start()
    killed = edge.backend(1)
    edge.backend(1)
    edge.switch(1, backends=2)
    with Load(
        f"{edge.url}/write", edge.ca_file, 100, 60, method="POST", body=b"x" * 20_000
    ) as load:
        wait_for(load, 200)
        docker("kill", "--signal", "KILL", killed)
        until("the dead one out", lambda: edge.ready() == 1)
        wait_for(load, 200)
    figures.append(load.result.figure("a backend is killed under writes"))
    assert load.result.failed == {}
    until("all counts at zero", lambda: edge.in_flight() == 0)
