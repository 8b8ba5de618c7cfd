"""Measure the log store; run by `nox -s performance -- logs [--lines N]`.

Store and collector are the image's own, on a network of their own. First the collector reads a file
as the engine writes one: lines a second, and none lost. Then the store is filled up to `--lines`,
and requests are looked up by their ids. Writes reports/logs.json and its twin.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.models.containers import Container
from site_copy import NAME, ROOT

from slipway import report
from slipway.commands import bake
from slipway.facts import git
from slipway.report import Result

PREFIX = f"slipway-{NAME}-measured"
COLLECTED = 300_000
BATCH = 20_000
LOOKUPS = 200
#: Of one request: edge, backend twice, worker.
WRITERS = (("edge", "", "edge-1"), ("backend", "42", "g42-backend-1"))
WRITERS = (*WRITERS, ("backend", "42", "g42-backend-2"), ("worker", "42", "g42-worker-1"))
STREAM = {"_stream_fields": "service,generation,instance"}
SPAN = timedelta(hours=6)


def say(text: str) -> None:
    """Show what is going on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main() -> int:
    """Measure; 0 when every goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic", choices=("logs",))
    parser.add_argument("--lines", type=int, default=10_000_000, help="in the store, for look-ups")
    chosen = parser.parse_args()
    engine = docker.from_env()
    with tempfile.TemporaryDirectory(prefix="slipway-performance-") as scratch:
        folder = Path(scratch)
        with running(engine, image(), folder) as store:
            found = [*collected(store, folder), *looked_up(store, chosen.lines)]
    version = str(engine.version()["Version"])
    path = report.write(
        ROOT / "reports", "logs", found, commit=git.read(ROOT).short, engine=version
    )
    print(path.with_suffix(".md").read_text())
    return 1 if any(result.ok is False for result in found) else 0


def image() -> str:
    """The image, built from the checkout."""
    name = f"{PREFIX}:local"
    words = ("--load", "--set", f"logs.tags={name}", "logs")
    file = str(ROOT / "docker-bake.hcl")
    build = ("docker", "buildx", "bake", "--file", file, "--progress", "plain", *words)
    subprocess.run(build, cwd=ROOT, env={**os.environ, **bake.ENVIRONMENT}, check=True)
    return name


@contextlib.contextmanager
def running(engine: docker.DockerClient, name: str, folder: Path) -> Iterator[httpx.Client]:
    """Store and collector; the collector reads the folder as if it were the engine's."""
    network = engine.networks.create(PREFIX)
    told = {"ENVIRONMENT": "measured", "LOGS_DAYS": "7", "LOGS_BYTES": str(50 << 30)}
    made: list[Container] = []
    try:
        store = engine.containers.run(
            *(name, ["store"]),
            name=f"{PREFIX}-logs",
            network=network.name,
            ports={"9428/tcp": ("127.0.0.1", None)},
            environment=told,
            mem_limit="512m",
            detach=True,
        )
        made.append(store)
        store.reload()
        port = store.ports["9428/tcp"][0]["HostPort"]
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        until_it_answers(client)
        made.append(
            engine.containers.run(
                *(name, ["collector"]),
                name=f"{PREFIX}-collector",
                network=network.name,
                user="0:0",
                volumes={str(folder): {"bind": "/engine", "mode": "ro"}},
                environment={
                    **told,
                    "STORE_URL": f"http://{PREFIX}-logs:9428",
                    "DATA_DIRECTORY": "/var/lib/slipway-collector",
                },
                mem_limit="192m",
                detach=True,
            )
        )
        yield client
    finally:
        for container in made:
            container.remove(force=True, v=True)
        network.remove()


def until_it_answers(store: httpx.Client) -> None:
    """Wait for the store."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if store.get("/health").is_success:
                return
        time.sleep(0.2)


def asked(store: httpx.Client, query: str) -> list[dict[str, Any]]:
    """What the store finds."""
    answer = store.post("/select/logsql/query", data={"query": query})
    answer.raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]


def document(number: int, request: str, at: datetime) -> dict[str, Any]:
    """A line as services write it: a fourth of a request's."""
    service, generation, instance = WRITERS[number % len(WRITERS)]
    return {
        "_time": at.isoformat(),
        "level": "info",
        "service": service,
        "instance": instance,
        **({"generation": generation} if generation else {}),
        "_msg": "request",
        "request_id": request,
        "method": "GET",
        "route": "/v1/search",
        "status": 200,
        "seconds": round(number % 997 / 1000, 4),
    }


def collected(store: httpx.Client, folder: Path) -> Iterator[Result]:
    """How fast lines come from a file to the store, and whether all of them come."""
    say(f"{COLLECTED} lines through the collector")
    (folder / "measured").mkdir()
    now = datetime.now(UTC)
    began = time.monotonic()
    with (folder / "measured" / "measured-json.log").open("w") as file:
        for number in range(COLLECTED):
            said = document(number, f"{number:032x}", now) | {"number": number, "event": "request"}
            kept = {
                "log": f"{json.dumps(said)}\n",
                "stream": "stdout",
                "attrs": {"tag": "slipway-measured-g42-backend-1"},
                "time": now.isoformat().replace("+00:00", "Z"),
            }
            file.write(f"{json.dumps(kept, separators=(',', ':'))}\n")
    query = "number:* | stats count_uniq(number) as numbers"
    numbers, changed = 0, time.monotonic()
    # Until all are there, or no more come.
    while numbers < COLLECTED and time.monotonic() - changed < 60:
        time.sleep(0.5)
        found = int(asked(store, query)[0]["numbers"])
        if found != numbers:
            numbers, changed = found, time.monotonic()
    rate = round(numbers / (changed - began))
    yield Result("lines through the collector", rate, "lines/s", note="written at once, one file")
    yield Result("of these lost", COLLECTED - numbers, "lines", goal="== 0")


def looked_up(store: httpx.Client, lines: int) -> Iterator[Result]:
    """How large a line is in the store, and how long a request's id takes to be found."""
    say(f"filling the store with {lines} lines")
    random.seed(7)
    began, span = datetime.now(UTC) - SPAN, SPAN / lines
    wanted: list[str] = []
    request, batch = "", []
    for number in range(lines):
        if number % len(WRITERS) == 0:
            request = f"{random.getrandbits(128):032x}"  # noqa: S311
            if random.random() < LOOKUPS * len(WRITERS) / lines:  # noqa: S311
                wanted.append(request)
        batch.append(json.dumps(document(number, request, began + number * span)))
        if len(batch) == BATCH or number == lines - 1:
            body = "\n".join(batch).encode()
            store.post("/insert/jsonline", params=STREAM, content=body).raise_for_status()
            batch = []
    time.sleep(10)
    figures = dict(
        line.rsplit(" ", 1)
        for line in store.get("/metrics").text.splitlines()
        if line.startswith(("vl_data_size_bytes", "vl_storage_rows"))
    )
    size = sum(float(each) for name, each in figures.items() if "data_size" in name)
    rows = sum(float(each) for name, each in figures.items() if "rows" in name)
    yield Result("stored", round(size / rows, 1), "bytes/line", goal="<= 40")
    say(f"looking up {len(wanted)} requests")
    took = []
    for each in wanted:
        asking = time.perf_counter()
        found = asked(store, f'_time:1d request_id:="{each}"')
        took.append(1000 * (time.perf_counter() - asking))
        assert len(found) == len(WRITERS), each
    took.sort()
    note = f"{len(took)} of them among {lines} lines; median {took[len(took) // 2]:.0f} ms"
    p95 = round(took[int(0.95 * len(took))], 1)
    yield Result("a request's id found, p95", p95, "ms", goal="<= 200", note=note)


if __name__ == "__main__":
    raise SystemExit(main())
