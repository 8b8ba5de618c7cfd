"""How fast `/health/live` answers while a large file is uploaded and parsed."""

from __future__ import annotations

import asyncio
import time

from performance import corpus
from performance.load import Outcome
from performance.systems import System, upload

PROBES_PER_SECOND = 20
LONGEST_SECONDS = 240.0
AFTER_PARSING = ("chunk", "embed", "store")
MEGABYTE = 1024 * 1024


def large_file(size: int) -> bytes:
    """A text file of `size` bytes, made of the corpus."""
    text = "\n\n".join(chunk.passage for chunk in corpus.chunks(5000)).encode() + b"\n\n"
    return (text * (size // len(text) + 1))[:size]


async def while_parsing(system: System, size: int) -> tuple[Outcome, str]:
    """Probe from before the upload until the file is parsed; the outcome, and what happened."""
    content = large_file(size)
    outcome = Outcome()
    done = asyncio.Event()
    probing = asyncio.create_task(_probe(system, outcome, done))
    started = time.perf_counter()
    client = system.client()
    document = await upload(client, "large.txt", content)
    uploaded = time.perf_counter() - started
    found: dict[str, object] = {}
    while time.perf_counter() - started < LONGEST_SECONDS:
        found = await client.get(f"/v1/documents/{document}")
        if found["status"] in ("ready", "failed") or found.get("stage") in AFTER_PARSING:
            break
        await asyncio.sleep(0.2)
    parsed = time.perf_counter() - started
    done.set()
    await probing
    await client.close()
    return outcome, (
        f"{size // MEGABYTE} MB uploaded in {uploaded:.1f} s; after {parsed:.1f} s the document "
        f"was {found.get('status')}, stage {found.get('stage')}, {found.get('error') or 'no error'}"
    )


async def _probe(system: System, outcome: Outcome, done: asyncio.Event) -> None:
    started = time.perf_counter()
    client = system.client()
    while not done.is_set():
        sent = time.perf_counter()
        status, _ = await client.request("GET", "/health/live")
        if status == 200:
            outcome.latencies.append(time.perf_counter() - sent)
        else:
            outcome.failures += 1
        await asyncio.sleep(max(0.0, 1 / PROBES_PER_SECOND - (time.perf_counter() - sent)))
    outcome.seconds = time.perf_counter() - started
    await client.close()
