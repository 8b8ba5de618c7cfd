"""The load driver: clients that each send one request after another over a kept connection.

It speaks just enough HTTP/1.1 for servers of this run: a general client takes as much of a core as
the servers that it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 120.0


@dataclass
class Outcome:
    """What one step of the load saw. Latencies in seconds, of answers with status 200 only.

    ``cpu_seconds`` are those of the servers and of PostgreSQL, not of the driver.
    """

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Outcome) -> Outcome:
        """Both together."""
        return Outcome(
            self.latencies + other.latencies,
            self.failures + other.failures,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
        )

    @property
    def cpu_milliseconds(self) -> float:
        """Processor milliseconds per answer."""
        return 1000 * self.cpu_seconds / len(self.latencies) if self.latencies else 0.0

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def milliseconds(self, part: float) -> float:
        """The latency that `part` (0 to 1) of the answers stayed under, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Client:
    """One kept connection to one server."""

    def __init__(self, base: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname, parts.port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, body: bytes = b"", media_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send one request and return status and body; a closed connection is opened once more."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{self._headers}"
                f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ", 2)[1])
            fields = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            content = await reader.readexactly(int(fields.get("content-length", "0")))
            if fields.get("connection") == "close":
                await self.close()
            return status, content

    async def post(self, path: str, value: Any) -> Any:
        """Send JSON and return the answer's; raises RuntimeError unless it is a success."""
        status, content = await self.request("POST", path, json.dumps(value).encode())
        if status >= 300:
            raise RuntimeError(f"POST {path}: {status} {content[:300]!r}")
        return json.loads(content)

    async def get(self, path: str) -> Any:
        """Return an answer's JSON; raises RuntimeError unless it is a success."""
        status, content = await self.request("GET", path)
        if status >= 300:
            raise RuntimeError(f"GET {path}: {status} {content[:300]!r}")
        return json.loads(content)

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def drive(
    make_client: Callable[[], Client],
    path: str,
    bodies: list[bytes],
    *,
    clients: int,
    seconds: float,
) -> Outcome:
    """Let `clients` ask one after another for `seconds`; each starts at another question."""
    outcome = Outcome()
    started = time.perf_counter()
    until = started + seconds

    async def one(number: int) -> None:
        client = make_client()
        place = number * 97
        try:
            while time.perf_counter() < until:
                sent = time.perf_counter()
                status, _ = await client.request("POST", path, bodies[place % len(bodies)])
                if status == 200:
                    outcome.latencies.append(time.perf_counter() - sent)
                else:
                    outcome.failures += 1
                place += clients
        finally:
            await client.close()

    await asyncio.gather(*(one(number) for number in range(clients)))
    outcome.seconds = time.perf_counter() - started
    return outcome
