"""One edge follows another behind the door, and nothing that was begun is lost."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from door_rig import DoorRig
from edge_rig import docker, until
from load import Load

from slipway.report import Result

STREAM_SECONDS = 20


@pytest.fixture
def rig(image: str, tmp_path: Path) -> Iterator[DoorRig]:
    """A door with one edge that serves generation 1 with two backends."""
    made = DoorRig(image, tmp_path)
    try:
        made.start_edge("edge")
        for _ in range(2):
            made.backend(1)
        made.serve("edge", 1)
        made.start_door("edge")
        yield made
    finally:
        made.close()


class Stream(threading.Thread):
    """One answer that is streamed for longer than a hand-over takes."""

    def __init__(self, rig: DoorRig) -> None:
        super().__init__(daemon=True)
        context = ssl.create_default_context(cafile=str(rig.ca_file))
        self._connection = http.client.HTTPSConnection(
            "localhost", rig.https, timeout=60, context=context
        )
        self.events = 0
        self.began = threading.Event()
        self.start()

    def run(self) -> None:
        """Read to the end."""
        self._connection.request("GET", f"/stream?{STREAM_SECONDS}")
        response = self._connection.getresponse()
        while line := response.readline():
            self.events += line.startswith(b"data")
            self.began.set()
        self._connection.close()


def test_one_edge_follows_the_other_and_nothing_is_lost(
    rig: DoorRig, figures: list[Result]
) -> None:
    """Twice, so that both places are tried; a stream of each edge lives through the change."""
    streams = []
    with Load(f"{rig.url}/handing-over", rig.ca_file, 150, 280) as load:
        for old, new in (("edge", "edge-b"), ("edge-b", "edge")):
            streams.append(Stream(rig))
            assert streams[-1].began.wait(20)
            rig.start_edge(new)
            rig.serve(new, 1)
            code, acknowledged = rig.ask_edge("door", "door", "switch", new)
            assert (code, acknowledged["edge"]) == (0, new)
            assert rig.ask_edge(old, "drain")[1]["connections"] > 0
            until("the old edge drained", lambda old=old: rig.drained(old), seconds=120)
            rig.remove_edge(old)
            target = load.result.sent + 200
            until("more requests", lambda target=target: load.result.sent >= target)
        for stream in streams:
            stream.join()
    figures.append(load.result.figure("one edge follows another, twice"))
    assert dict(load.result.failed) == {}
    assert [stream.events for stream in streams] == [STREAM_SECONDS] * 2


def test_a_restarted_edge_is_found_at_its_new_address_and_a_killed_door_comes_back(
    rig: DoorRig,
) -> None:
    """Each container starts by itself, in whatever order the engine starts them."""
    for service in ("edge", "door"):
        docker("kill", rig.container(service))
        docker("start", rig.container(service))
        rig.ports()

        def answers() -> bool:
            try:
                return rig.ask("/")[0] == 200
            except OSError:
                return False

        until(f"an answer after {service} was killed", answers)
    docker("stop", "--time", "40", rig.container("edge"))
    docker("restart", rig.container("door"))
    docker("start", rig.container("edge"))
    rig.ports()
    until("an answer after both started in the other order", answers)


def test_an_edge_that_does_not_run_gets_nobody(rig: DoorRig) -> None:
    """The door says so, and the one that serves goes on."""
    code, answer = rig.ask_edge("door", "door", "switch", "edge-b")
    assert (code, answer["edge"]) == (1, "edge")
    assert "edge-b has no address" in answer["refused"]
    assert rig.ask("/")[0] == 200
