"""Find the backends of a generation and ask each whether it is ready."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

SECONDS = 1.0
REASON_BYTES = 4096
REASON_CHARACTERS = 200
GENERATION_HEADER = "x-slipway-generation"

Resolve = Callable[[str, int], tuple[str, ...]]


@dataclass(frozen=True)
class Answer:
    """Whether one address answers HTTP at all, whether it is ready, and what it said."""

    address: str
    alive: bool
    ready: bool
    said: str


def resolve(name: str, port: int) -> tuple[str, ...]:
    """The IPv4 addresses behind ``name`` as sorted ``host:port``; raises OSError without any."""
    found = socket.getaddrinfo(name, port, socket.AF_INET, socket.SOCK_STREAM)
    hosts = {str(address[0]) for *_, address in found}
    return tuple(sorted(f"{host}:{port}" for host in hosts))


class Probe:
    """Asks many addresses at once; ``seconds`` bounds each operation of one question."""

    def __init__(self, seconds: float = SECONDS, together: int = 32) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(together, thread_name_prefix="probe")

    def ask(self, addresses: Iterable[str], generation: int) -> tuple[Answer, ...]:
        """Ask every address for ``/health/ready`` as a backend of ``generation``."""
        return tuple(self._pool.map(lambda address: self._one(address, generation), addresses))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False)

    def _one(self, address: str, generation: int) -> Answer:
        host, _, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=self._seconds)
        try:
            connection.request("GET", "/health/ready", headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read(REASON_BYTES)
        except TimeoutError:
            return Answer(address, False, False, f"no answer within {self._seconds:g} s")
        except ConnectionRefusedError:
            return Answer(address, False, False, "connection refused")
        except (OSError, http.client.HTTPException) as error:
            return Answer(address, False, False, str(error) or type(error).__name__)
        finally:
            connection.close()
        stated = response.getheader(GENERATION_HEADER)
        # The engine gives a freed address to the next container, which may be anybody.
        if stated is not None and stated != str(generation):
            return Answer(address, False, False, f"belongs to generation {stated} now")
        if response.status == 200:
            return Answer(address, True, True, "200")
        return Answer(address, True, False, f"{response.status} {_reason(body)}".strip())


def _reason(body: bytes) -> str:
    """Why a backend is not ready: what its answer gives as the reason, or its first words."""
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body.decode(errors="replace").split())[:REASON_CHARACTERS]
