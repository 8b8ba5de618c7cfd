"""A bounded load on an HTTPS address of this machine, which counts every request it loses.

``Load(url, ca_file, rate, seconds)`` sends requests at fixed times, every second one on a
connection that is kept and every other one on a fresh connection, and repeats none: what a caller
would see as a failure is counted as one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from slipway.report import Result as Figure

MOST_PER_SECOND = 500
MOST_SECONDS = 600.0
TIMEOUT_SECONDS = 30.0
# The edge closes a connection that nobody used for 75 s; a client that sends on one of that age
# races with the close and would lose a request to itself.
IDLE_SECONDS = 60.0


@dataclass
class Result:
    """What came back: counts, reasons of failure, seconds per request, answering generations."""

    sent: int = 0
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    generations: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        """Requests without the expected answer."""
        return sum(self.failed.values())

    def figure(self, while_: str) -> Figure:
        """The lost requests as a line of a report."""
        note = f"of {self.sent} sent; p99 {self.percentile(0.99) * 1000:.0f} ms"
        return Figure(f"requests lost while {while_}", self.lost, "requests", "== 0", note=note)

    def percentile(self, part: float) -> float:
        """The latency in seconds that ``part`` (0 to 1) of the answers stayed under."""
        ordered = sorted(self.latencies)
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def summary(self) -> dict[str, object]:
        """The figures of a report."""
        return {
            "sent": self.sent,
            "ok": self.ok,
            "lost": self.lost,
            "reasons": dict(self.failed),
            "per_second": round(self.sent / self.seconds, 1) if self.seconds else 0.0,
            "p50_ms": round(self.percentile(0.5) * 1000, 1),
            "p99_ms": round(self.percentile(0.99) * 1000, 1),
            "generations": dict(self.generations),
        }


class Load:
    """``rate`` requests a second to ``url`` for at most ``seconds``, from ``workers`` threads.

    Used as a context manager it runs in the background and stops on leaving; ``run`` waits for the
    whole time. ``expected`` are the status codes that count as success. Raises ValueError for an
    address that is not on this machine or a load beyond the bounds.
    """

    def __init__(
        self,
        url: str,
        ca_file: Path | None,
        rate: int,
        seconds: float,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expected: frozenset[int] = frozenset({200}),
        workers: int = 24,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname is None:
            raise ValueError(f"{url}: an https address is needed")
        if not (0 < rate <= MOST_PER_SECOND and 0 < seconds <= MOST_SECONDS):
            raise ValueError(f"at most {MOST_PER_SECOND} a second for {MOST_SECONDS:g} s")
        _require_this_machine(parts.hostname)
        self._host, self._port = parts.hostname, parts.port or 443
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._context = ssl.create_default_context(cafile=ca_file and str(ca_file))
        self._rate, self._total = rate, int(rate * seconds)
        self._method, self._body, self._headers = method, body, dict(headers or {})
        self._expected = expected
        self._lock = threading.Lock()
        self._next = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"load-{number}", daemon=True)
            for number in range(workers)
        ]
        self._started = 0.0
        self.result = Result()

    def run(self) -> Result:
        """Send everything and return what came back."""
        self._start()
        return self._finish()

    def stop(self) -> Result:
        """Send no more, wait for the answers still due, and return what came back."""
        self._stop.set()
        return self._finish()

    def __enter__(self) -> Load:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def _finish(self) -> Result:
        for thread in self._threads:
            thread.join()
        self.result.seconds = time.monotonic() - self._started
        return self.result

    def _work(self) -> None:
        kept = self._connection()
        used = time.monotonic()
        while not self._stop.is_set():
            with self._lock:
                number = self._next
                self._next += 1
            if number >= self._total:
                break
            due = self._started + number / self._rate
            self._stop.wait(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                break
            if number % 2:
                fresh = self._connection()
                self._send(fresh, "fresh", {"Connection": "close"})
                fresh.close()
            else:
                idle = time.monotonic() - used
                if idle > IDLE_SECONDS:
                    kept.close()
                    kept = self._connection()
                if not self._send(kept, f"kept, idle {idle:.0f} s", {}):
                    kept.close()
                    kept = self._connection()
                used = time.monotonic()
        kept.close()

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._context
        )

    def _send(
        self, connection: http.client.HTTPSConnection, kind: str, extra: Mapping[str, str]
    ) -> bool:
        began = time.monotonic()
        generation = ""
        try:
            connection.request(self._method, self._target, self._body, {**self._headers, **extra})
            response = connection.getresponse()
            response.read()
            generation = response.getheader("x-slipway-generation") or ""
            reason = "" if response.status in self._expected else f"status {response.status}"
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error} ({kind} connection)"
        took = time.monotonic() - began
        with self._lock:
            self.result.sent += 1
            if reason:
                self.result.failed[reason] += 1
            else:
                self.result.ok += 1
                self.result.latencies.append(took)
            if generation:
                self.result.generations[generation] += 1
        return not reason


def _require_this_machine(host: str) -> None:
    for family, kind, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((address[0], 0))
            except OSError:
                raise ValueError(
                    f"{host} ({address[0]}) is not an address of this machine"
                ) from None


def main() -> None:
    """Run one load from the command line and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    print(json.dumps(Load(options.url, options.ca, options.rate, options.seconds).run().summary()))


if __name__ == "__main__":
    main()
