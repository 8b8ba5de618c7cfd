"""A bounded load on an HTTPS address of this machine, which records every request it loses.

``Load(url, ca_file, rate, seconds)`` sends requests at fixed times whatever became of those before,
every second one on a connection that is kept and every other one on a fresh connection. It repeats
none: what a caller would see as a failure is counted as one. ``beside`` mixes in other kinds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from load_client import Connection, Request, require_this_machine
from load_result import Loss, Result, Sample
from traffic import Traffic, same

MOST_PER_SECOND = 500
MOST_SECONDS = 1800.0
MOST_AT_ONCE = 2000
# The edge closes a connection that nobody used for 75 s; a client that sends on one of that age
# races with the close and would lose a request to itself.
IDLE_SECONDS = 60.0
KEPT = 24


class Load:
    """``rate`` requests a second to ``url``, and ``beside`` it other kinds, for ``seconds``.

    Used as a context manager it runs in a thread of its own and stops on leaving, when every
    answer that was due has come; ``run`` waits for the whole time. Raises ValueError for an address
    that is not on this machine or a load beyond the bounds.
    """

    def __init__(
        self,
        url: str,
        ca_file: Path | None,
        rate: float,
        seconds: float,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        beside: Sequence[Traffic] = (),
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname is None:
            raise ValueError(f"{url}: an https address is needed")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        first = same("request", rate, Request(method, target, body, dict(headers or {})))
        self._traffic = [each for each in (first, *beside) if each.rate > 0]
        total = sum(each.rate for each in self._traffic)
        if not (0 < total <= MOST_PER_SECOND and 0 < seconds <= MOST_SECONDS):
            raise ValueError(f"at most {MOST_PER_SECOND} a second for {MOST_SECONDS:g} s")
        require_this_machine(parts.hostname)
        self._host, self._port = parts.hostname, parts.port or 443
        self._context = ssl.create_default_context(cafile=ca_file and str(ca_file))
        self._seconds = seconds
        self._kept: list[Connection] = []
        self._running: set[asyncio.Task[None]] = set()
        self._phase = ""
        self._began = 0.0
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self.result = Result()

    def run(self) -> Result:
        """Send everything and return what came back."""
        self._start()
        return self._finish()

    def stop(self) -> Result:
        """Send no more, wait for the answers still due, and return what came back."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        return self._finish()

    def phase(self, name: str) -> float:
        """Count what is sent from now on under this name; returns the seconds since the start."""
        self._phase = name
        return self.now

    @property
    def now(self) -> float:
        """Seconds since the start, as in samples and losses."""
        return time.monotonic() - self._began

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
        self._began = time.monotonic()
        self._thread.start()

    def _finish(self) -> Result:
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self.result

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._drive())
        except Exception as error:
            self._failure = error
        finally:
            self._loop.close()
            self.result.seconds = self.now
            self.result.cpu_seconds = time.thread_time()

    async def _drive(self) -> None:
        async with asyncio.TaskGroup() as group:
            for traffic in self._traffic:
                group.create_task(self._send_at_fixed_times(traffic))
        while self._running:
            await asyncio.wait(self._running)
        for connection in self._kept:
            connection.close()

    async def _send_at_fixed_times(self, traffic: Traffic) -> None:
        """Arrivals do not wait for answers: a slow answer must not spare the product the next."""
        # Kinds start at different times, so that they do not all arrive at once.
        number, begin = 0, random.random() / traffic.rate  # noqa: S311
        while (due := begin + number / traffic.rate) < self._seconds:
            if await self._stopped_within(due - self.now):
                return
            self.result.late_seconds = max(self.result.late_seconds, self.now - due)
            if len(self._running) >= MOST_AT_ONCE:
                # Whoever came now would wait behind all of those: the load goes on all the same.
                reason = f"not sent: {MOST_AT_ONCE} requests wait for their answers"
                self._lose(Sample(traffic.name, self._phase, due, 0.0, ""), reason, "none")
                number += 1
                continue
            task = asyncio.create_task(self._send(traffic, number, due, self._phase))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            number += 1

    async def _stopped_within(self, seconds: float) -> bool:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
        return self._stop.is_set()

    async def _send(self, traffic: Traffic, number: int, due: float, phase: str) -> None:
        keep = number % 2 == 0
        connection = self._take() if keep else self._connection()
        age, idle = connection.age, connection.idle
        kind = ("kept" if connection.exchanges else "new") if keep else "fresh"
        generation = ""
        try:
            response = await connection.exchange(traffic.make(number), keep=keep)
            generation = response.generation
            reason = traffic.judge(response)
        except Exception as error:  # whatever it is, a caller would have no answer
            connection.close()
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            reason = f"{said} ({connection.stage}, {kind} connection)"
        if keep and connection.open:
            self._give_back(connection)
        else:
            connection.close()
        took = self.now - due
        sample = Sample(traffic.name, phase, due, took, generation)
        if reason:
            self._lose(sample, reason, kind, age, idle)
        else:
            self.result.add(sample, "")

    def _lose(
        self, sample: Sample, reason: str, kind: str, age: float = 0.0, idle: float = 0.0
    ) -> None:
        """Count a loss under the phase that it was lost in: a stream may be much older."""
        self.result.add(sample, reason)
        self.result.losses.append(
            Loss(
                *(sample.kind, self._phase, sample.due, sample.seconds, reason),
                *(kind, sample.generation, age, idle),
            )
        )

    def _connection(self) -> Connection:
        return Connection(self._host, self._port, self._context)

    def _take(self) -> Connection:
        """One of the kept connections, or a new one; any of them, so that some idle for long."""
        while self._kept:
            connection = self._kept.pop(random.randrange(len(self._kept)))  # noqa: S311
            if connection.open and connection.idle < IDLE_SECONDS:
                return connection
            self.result.closed_idle += connection.idle < IDLE_SECONDS
            connection.close()
        return self._connection()

    def _give_back(self, connection: Connection) -> None:
        if len(self._kept) < KEPT:
            self._kept.append(connection)
        else:
            connection.close()


def main() -> None:
    """Run one load from the command line and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    print(json.dumps(Load(options.url, options.ca, options.rate, options.seconds).run().summary()))


if __name__ == "__main__":
    main()
