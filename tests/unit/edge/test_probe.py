"""Names become addresses, and every way to answer wrongly has its words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from slipway_edge.probe import Probe, resolve


@pytest.fixture
def probe() -> Iterator[Probe]:
    """A probe with little patience."""
    probe = Probe(seconds=0.3)
    yield probe
    probe.close()


def test_a_name_resolves_to_sorted_addresses_with_the_port() -> None:
    """IPv4 only, each once."""
    assert resolve("localhost", 8000) == ("127.0.0.1:8000",)


def test_an_unknown_name_is_an_error() -> None:
    """The caller decides what that means."""
    with pytest.raises(socket.gaierror):
        resolve("backend-g1.invalid", 8000)


def test_something_that_does_not_speak_http_is_not_alive(probe: Probe) -> None:
    """An address may belong to anybody by now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"SSH-2.0-something\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        (answer,) = probe.ask([address], 1)
        thread.join()
    assert (answer.alive, answer.ready) == (False, False)
    assert "SSH" in answer.said
