"""Measure what watching costs the backend; run by `nox -s performance -- instrumentation`.

The middleware around an application that does nothing, called as a server calls it, against that
application alone: what its id and figures cost a request, and what its log line costs. Then the
figures themselves, as each level of monitoring has them read. Writes reports/instrumentation.json
and its twin.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway import report
from slipway.facts import git
from slipway.report import Result
from slipway_backend.api.middleware import RequestContext
from slipway_backend.api.state import Lifecycle
from slipway_backend.logs import configure_logging
from slipway_backend.metrics import BUCKETS, Metrics

ROOT = Path(__file__).parents[2]
ROUNDS = 31
REQUESTS = 2_000
SCRAPES = 31
#: As many series as a backend has after a day: routes with their usual answers.
ROUTES = tuple(f"/v1/route-{number}" for number in range(24))
STATUSES = ("200", "401", "404", "422")
STAGES = 12


async def nothing(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a request and do nothing else."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def received() -> Message:
    """A request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def sent(_message: Message) -> None:
    """Nobody reads the answer."""


def scope() -> Scope:
    """A search."""
    made: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/search"}
    return made | {"headers": [], "route": SimpleNamespace(path="/v1/search")}


async def seconds_of(app: ASGIApp) -> float:
    """Seconds that one request takes, of many."""
    began = time.perf_counter()
    for _ in range(REQUESTS):
        await app(scope(), received, sent)
    return (time.perf_counter() - began) / REQUESTS


async def added(level: Any, lines: str) -> float:
    """Microseconds that the middleware adds: the median of rounds with and without it by turns."""
    configure_logging("backend", "1", lines)
    watched = RequestContext(nothing, generation="1", metrics=Metrics(level), lifecycle=Lifecycle())
    await seconds_of(watched)
    differences = []
    for _ in range(ROUNDS):
        alone = await seconds_of(nothing)
        differences.append(await seconds_of(watched) - alone)
    return statistics.median(differences) * 1e6


def read(level: Any) -> tuple[float, int]:
    """Milliseconds that it takes to write the figures down, and how many bytes they are."""
    metrics = Metrics(level)
    for route in ROUTES:
        for status in STATUSES:
            metrics.requests.labels("POST", route, status).inc()
        metrics.request_seconds.labels("POST", route).observe(0.1)
    for number in range(STAGES):
        metrics.stage_seconds.labels(f"stage-{number}").observe(0.1)
    took, text = [], b""
    for _ in range(SCRAPES):
        began = time.perf_counter()
        text = generate_latest(metrics.registry)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000, len(text)


def measured() -> Iterator[Result]:
    """Everything, one after the other."""
    for level in BUCKETS:
        with contextlib.ExitStack() as quiet:
            # The lines are written, and nobody keeps them.
            nowhere = quiet.enter_context(Path(os.devnull).open("w"))
            quiet.enter_context(contextlib.redirect_stdout(nowhere))
            figures = asyncio.run(added(level, "warning"))
            both = asyncio.run(added(level, "info"))
        name = f"{level}: id and figures of a request"
        yield Result(name, round(figures, 1), "µs", goal="<= 30", against="no middleware")
        yield Result(f"{level}: its log line", round(both - figures, 1), "µs")
        milliseconds, size = read(level)
        yield Result(f"{level}: figures read once", round(milliseconds, 2), "ms")
        yield Result(f"{level}: figures read once, size", round(size / 1024, 1), "KiB")


def main() -> int:
    """Measure; 0 when every goal is met."""
    found = list(measured())
    path = report.write(ROOT / "reports", "instrumentation", found, commit=git.read(ROOT).short)
    print(path.with_suffix(".md").read_text())
    return 1 if any(result.ok is False for result in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
