"""Measure the backend against its peers and its floors; run by `nox -s performance -- backend`.

One PostgreSQL, one machine, the same chunks and vectors for everybody. Writes reports/backend.json
and its twin. docs/reference/performance.md says how each figure comes about.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import psycopg
from numpy.typing import NDArray
from performance import corpus, liveness, tables
from performance.corpus import Chunk
from performance.embedding import measure as measure_embedding
from performance.floors import BareOpenVino, BareSession, record, search_floor
from performance.load import Outcome
from performance.store import store_given
from performance.systems import Peers, System, given, ingest, peer, slipway, stopping
from performance.vectors import vectors as corpus_vectors
from served import Site, ended_by_signals, site

from slipway import report
from slipway.report import Result
from slipway_backend.database import VECTOR_SETTINGS
from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.model import build_model
from slipway_backend.embedding.precision import Precision

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".nox" / "performance-cache"
PEER_TABLES = {"langchain": "langchain_chunks", "llamaindex": "data_llamaindex_chunks"}
PEERS = tuple(PEER_TABLES)
CLIENTS = (1, 10, 20, 50)
ROUNDS = 3
MONITORING_ROUNDS = 9
MEBIBYTE = 1024 * 1024
CPU_NOTE = "of server and PostgreSQL, per query"
PARTS = ("queries", "alike", "floors", "recall", "embedding", "ingest", "monitoring", "liveness")


@dataclass
class Run:
    """One run: what it works on and what it found so far."""

    site: Site
    chunks: list[Chunk]
    vectors: NDArray[numpy.float32]
    questions: list[str]
    peers: Peers
    seconds: float
    ingest_documents: int
    megabytes: int
    quick: bool
    results: list[Result] = field(default_factory=list)
    queries: dict[tuple[str, str, int], Outcome] = field(default_factory=dict)

    def add(self, name: str, value: float | None, unit: str, **more: str) -> None:
        """Note one figure and show it."""
        rounded = None if value is None else float(f"{value:.4g}")
        result = Result(name, rounded, unit, **more)
        self.results.append(result)
        met = {True: "met", False: "NOT MET", None: ""}[result.ok]
        goal = f" (goal {result.goal}: {met})" if result.goal else ""
        print(f"  {name}: {rounded} {unit}{goal}", flush=True)


def say(text: str) -> None:
    """Show what is going on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main() -> int:
    """Run what is asked for; 0 when every goal that was measured is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic", choices=("backend",))
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="shorter loads, smaller files")
    parser.add_argument("--seconds", type=float, help="per step of the load")
    parser.add_argument("--only", action="append", choices=PARTS, help="only these parts")
    parser.add_argument("--peers", type=Path, required=True, help="Python of their environment")
    chosen = parser.parse_args()
    model = Path(os.environ["SLIPWAY_MODEL_CACHE"])
    chunks = list(corpus.chunks(chosen.chunks))
    rows = corpus_vectors(chunks, model=model, cache=CACHE)
    parts = tuple(chosen.only or PARTS)
    minutes = 6 if chosen.quick else 45
    say(f"{len(chunks)} chunks; about {minutes} minutes: {', '.join(parts)}")
    with ended_by_signals(), site(model) as made:
        run = Run(
            site=made,
            chunks=chunks,
            vectors=rows,
            questions=corpus.questions(1000),
            peers=_peers(chosen.peers),
            seconds=chosen.seconds or (4.0 if chosen.quick else 20.0),
            ingest_documents=5 if chosen.quick else 41,
            megabytes=30 if chosen.quick else 300,
            quick=chosen.quick,
        )
        try:
            asyncio.run(_measure(run, parts))
        finally:
            path = report.write(ROOT / "reports", "backend", run.results, commit=_commit())
            print(path.with_suffix(".md").read_text())
    return 1 if any(result.ok is False for result in run.results) else 0


async def _measure(run: Run, parts: Sequence[str]) -> None:
    _describe(run)
    await _fill(run)
    if "queries" in parts:
        await _queries(run)
    if "alike" in parts:
        await _alike(run)
    if "floors" in parts:
        await _floors(run)
    if "recall" in parts:
        _recall(run)
    if "embedding" in parts:
        _embedding(run)
    if "ingest" in parts:
        await _ingest(run)
    if "monitoring" in parts:
        await _monitoring(run)
    if "liveness" in parts:
        await _liveness(run)


def _describe(run: Run) -> None:
    kind = "sentence-transformers on torch, CPU" if run.peers.embedding == "torch" else "ONNX fp32"
    lengths = statistics.mean(len(chunk.passage) for chunk in run.chunks[:1000])
    run.add("chunks", len(run.chunks), "chunks", note=f"{lengths:.0f} characters on average")
    print(f"  the frameworks embed with: {kind}")


def _peers(python: Path) -> Peers:
    test = "import torch, sentence_transformers"
    if subprocess.run([python, "-c", test], capture_output=True, check=False).returncode == 0:
        return Peers(python, "torch")
    folder = CACHE / "model-fp32"
    build_model(folder, precision=Precision.FP32)
    return Peers(python, f"onnx:{folder}")


async def _fill(run: Run) -> None:
    say("tables: staging")
    run.site.migrate()
    # The API's first start tells the database which model its vectors are of.
    (await slipway(run.site)).stop()
    template: dict[str, str] = {}
    for name in PEERS:
        async with stopping(peer(run.site, name, run.peers, setup=True)) as system:
            if name == "llamaindex":
                template = await system.client().get("/template")
    with psycopg.connect(run.site.database_url, autocommit=True) as connection:
        tables.stage(connection, run.chunks, run.vectors)
    say("tables: filling, and building their indexes")
    whole = {
        "chunks": tables.SLIPWAY,
        "langchain_chunks": tables.LANGCHAIN,
        "data_llamaindex_chunks": [tables.llamaindex_statement(template)],
    }
    threads = ThreadPoolExecutor(len(whole))
    try:
        list(threads.map(lambda table: _fill_one(run, table, whole[table]), whole))
    finally:
        # Not waited for when something ends the run: PostgreSQL's end will end them.
        threads.shutdown(wait=False, cancel_futures=True)


def _fill_one(run: Run, table: str, statements: Sequence[object]) -> None:
    with psycopg.connect(run.site.database_url, autocommit=True) as connection:
        tables.fill(connection, table, statements)
    say(f"tables: {table} is done")


async def _queries(run: Run) -> None:
    """Everybody as they come: each with its own default of `ef_search`."""
    async with contextlib.AsyncExitStack() as stack:
        systems = await _started(run, stack)
        run.queries = await _in_turns(run, systems, (4, *CLIENTS))  # the first warms everything up
        for (name, mode, clients), outcome in run.queries.items():
            if clients in CLIENTS:
                _add_load(run, name, mode, clients, outcome)
        for system in systems:
            goal = "<= 450" if system.name == "slipway" else ""
            memory = system.memory() / MEBIBYTE
            note = f"modes: {', '.join(system.modes)}"
            title = f"{system.name}: resident memory after the load"
            run.add(title, memory, "MiB", goal=goal, note=note)
    _compare_queries(run, run.queries, "", goal=">= 2")


async def _alike(run: Run) -> None:
    """Everybody with Slipway's `ef_search`, so that all have the same recall to pay for."""
    async with contextlib.AsyncExitStack() as stack:
        systems = await _started(run, stack, ef_search=VECTOR_SETTINGS["hnsw.ef_search"])
        queries = await _in_turns(run, systems, (4, 10))
    _compare_queries(run, queries, ", same ef_search", goal="")


async def _started(
    run: Run, stack: contextlib.AsyncExitStack, *, ef_search: str = ""
) -> list[System]:
    """Slipway in both modes and its peers, each of which has found something."""
    systems: list[System] = []
    for mode in ("hybrid", "vector"):
        ours = await slipway(run.site, mode=mode)
        systems.append(await stack.enter_async_context(stopping(ours)))
    for name in PEERS:
        theirs = peer(run.site, name, run.peers, ef_search=ef_search)
        systems.append(await stack.enter_async_context(stopping(theirs)))
    for system in systems:
        for mode in system.modes:
            await system.check(run.questions[0], mode)
    return systems


async def _in_turns(
    run: Run, systems: Sequence[System], numbers: Sequence[int]
) -> dict[tuple[str, str, int], Outcome]:
    """Rounds in which every system takes its turn, so that a busy moment hits all alike."""
    found: dict[tuple[str, str, int], Outcome] = {}
    for clients in numbers:
        for mode in ("hybrid", "vector"):
            say(f"queries: {mode}, {clients} clients")
            for _ in range(ROUNDS):
                for system in systems:
                    if mode in system.modes:
                        seconds = run.seconds / ROUNDS
                        outcome = await system.load(
                            run.questions, mode, clients=clients, seconds=seconds
                        )
                        key = (system.name, mode, clients)
                        found[key] = found.get(key, Outcome()) + outcome
    return found


def _add_load(run: Run, name: str, mode: str, clients: int, outcome: Outcome) -> None:
    title = f"{name} {mode}, {clients} clients"
    note = f"{outcome.failures} answers were no success" if outcome.failures else ""
    run.add(f"{title}: queries", outcome.per_second, "1/s", note=note)
    run.add(f"{title}: processor time", outcome.cpu_milliseconds, "ms", note=CPU_NOTE)
    for part in (50, 95, 99):
        strict = (name, mode, clients, part) == ("slipway", "hybrid", 20, 95)
        value = outcome.milliseconds(part / 100)
        run.add(f"{title}: p{part}", value, "ms", goal="< 500" if strict else "")


def _compare_queries(
    run: Run, queries: Mapping[tuple[str, str, int], Outcome], how: str, *, goal: str
) -> None:
    for name in PEERS:
        for mode in ("hybrid", "vector"):
            for clients in (1, 10, 50):
                theirs = queries.get((name, mode, clients))
                ours = queries.get(("slipway", mode, clients))
                if theirs and ours and theirs.per_second:
                    cpu = theirs.cpu_milliseconds / ours.cpu_milliseconds
                    run.add(
                        f"queries/s of slipway {mode} / {name} {mode}, {clients} clients{how}",
                        ours.per_second / theirs.per_second,
                        "times",
                        goal=goal,
                        against=name,
                        note=f"by processor time per query: {cpu:.2f} times",
                    )


async def _floors(run: Run) -> None:
    say("floors: the bare statement, and the bare model before it")
    embedder = BuiltinEmbedder(run.site.model)
    with psycopg.connect(run.site.database_url) as connection:
        (user,) = connection.execute("SELECT id FROM users WHERE role = 'admin'").fetchone() or ()
    statements = await record(run.site.settings(), embedder, run.questions[:300], user)
    # What the server computes with, so that the floor is no higher than it has to be.
    hint = "bf16" if embedder.fingerprint.precision == Precision.FP32 else "f32"
    quick = embedder.runtime == "openvino"
    bare = BareOpenVino(run.site.model, hint) if quick else BareSession(run.site.model)

    def embed(place: int) -> object:
        return bare.run(bare.tokens([run.questions[place % len(run.questions)]]))

    for clients in (1, 10):
        common = {"clients": clients, "database_cpu_seconds": run.site.database_cpu_seconds}
        url, seconds = run.site.database_url, run.seconds
        sql = await search_floor(url, statements, seconds=seconds, **common)
        both = await search_floor(url, statements, seconds=seconds, embed=embed, **common)
        for name, floor in (("bare statement", sql), ("bare statement and model", both)):
            run.add(f"{name}, {clients} clients: queries", floor.per_second, "1/s")
            run.add(f"{name}, {clients} clients: p50", floor.milliseconds(0.5), "ms")
            run.add(f"{name}, {clients} clients: processor time", floor.cpu_milliseconds, "ms")
        if ours := run.queries.get(("slipway", "hybrid", clients)):
            _add_overhead(run, ours, both, clients)


def _add_overhead(run: Run, ours: Outcome, floor: Outcome, clients: int) -> None:
    what = "queries/s of the floor / slipway"
    ratio = floor.per_second / ours.per_second
    if clients == 1:
        what = "median latency"
        ratio = ours.milliseconds(0.5) / floor.milliseconds(0.5)
    title = f"overhead over the bare statement and model, {clients} clients"
    common = {"goal": "<= 1.25", "against": "psycopg and the bare runtime"}
    note = f"{what}; over HTTP, with access checked, the driver on the same cores"
    run.add(title, ratio, "times", note=note, **common)
    spent = ours.cpu_milliseconds / floor.cpu_milliseconds
    note = "without the driver of ours; the floor is its own driver"
    run.add(f"{title}, by processor time", spent, "times", note=note, **common)


def _recall(run: Run) -> None:
    say("recall of the indexes against exact search")
    ef_search = VECTOR_SETTINGS["hnsw.ef_search"]
    note = f"ef_search {ef_search}, half precision"
    settings = VECTOR_SETTINGS
    _add_recall(run, "", "chunks", "embedding::halfvec(384)", settings, note, goal=">= 0.97")
    for name, table in PEER_TABLES.items():
        note = "ef_search 40, their default"
        _add_recall(run, f" of {name}", table, "embedding", {"hnsw.ef_search": "40"}, note)


def _add_recall(
    run: Run,
    whose: str,
    table: str,
    vector: str,
    settings: Mapping[str, str],
    note: str,
    goal: str = "",
) -> None:
    embedder = BuiltinEmbedder(run.site.model)
    asked = embedder.embed(run.questions[:300])
    exact_rows = run.vectors.astype(numpy.float16).astype(numpy.float32)
    kind = "halfvec(384)" if "halfvec" in vector else "vector(384)"
    condition = "WHERE embedding_set_id = 1" if table == "chunks" else ""
    distance = f"{vector} <=> %(v)s::{kind}"
    shares = []
    with psycopg.connect(run.site.database_url, autocommit=True) as connection:
        connection.execute("SELECT '[1]'::vector")
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        for query in asked:
            literal = "[" + ",".join(f"{value:.7g}" for value in query) + "]"
            found = connection.execute(
                f"SELECT {distance} FROM {table} {condition} ORDER BY {distance} LIMIT 10",
                {"v": literal},
            ).fetchall()
            exact = numpy.sort(1 - exact_rows @ query)[:10]
            # Equal distances are equally right; half precision moves the last digits.
            shares.append(sum(distance <= exact[-1] + 1e-3 for (distance,) in found) / 10)
    run.add(
        f"recall@10 of the HNSW index{whose}",
        statistics.mean(shares),
        "",
        goal=goal,
        against="exact search",
        note=f"{len(shares)} questions, {note}, worst {min(shares):g}",
    )


def _embedding(run: Run) -> None:
    say("embedding: ours and bare runtimes, two threads each")
    texts = [chunk.passage for chunk in run.chunks[: 160 if run.quick else 480]]
    measure_embedding(run.add, run.site.model, CACHE, texts, run.questions[:200])


async def _ingest(run: Run) -> None:
    size = corpus.CHUNKS_PER_DOCUMENT
    chunks = list(corpus.chunks(len(run.chunks) + run.ingest_documents * size))
    fresh = chunks[len(run.chunks) :]
    documents = [fresh[start : start + size] for start in range(0, len(fresh), size)]
    file = run.site.folder / "given.npy"
    numpy.save(file, run.vectors[: len(fresh)])
    embedded: dict[str, float] = {}
    stored: dict[str, float] = {}
    for name in ("slipway", *PEERS):
        say(f"ingest: {name}")
        workers = os.cpu_count() or 1
        system = (
            await slipway(run.site, workers=workers)
            if name == "slipway"
            else peer(run.site, name, run.peers)
        )
        async with stopping(system):
            await ingest(system, documents[:1])
            count, seconds = await ingest(system, documents[1:])
            embedded[name] = count / seconds
            note = f"{count} chunks onto {len(run.chunks)}"
            if name == "slipway":
                note += f", {workers} workers"
            run.add(f"{name}: ingest with embedding", embedded[name], "chunks/s", note=note)
            run.add(f"{name}: resident memory after ingest", system.memory() / MEBIBYTE, "MiB")
            if name != "slipway":
                count, seconds = await given(system, run.site, fresh, file)
        if name == "slipway":
            vectors = run.vectors[: len(fresh)]
            count, seconds = await store_given(run.site, fresh, vectors, workers=workers)
        stored[name] = count / seconds
        note = f"{workers} connections, one per worker" if name == "slipway" else "one call"
        run.add(f"{name}: storing given vectors", stored[name], "chunks/s", note=note)
    for name in PEERS:
        for what, figures in (("ingest", embedded), ("storing given vectors", stored)):
            run.add(
                f"{what}: slipway / {name}",
                figures["slipway"] / figures[name],
                "times",
                goal=">= 2",
                against=name,
            )


async def _monitoring(run: Run) -> None:
    """Short turns in rounds: what a level costs is less than a busy moment of the machine."""
    levels = ("minimal", "standard", "full")
    total = {level: Outcome() for level in levels}
    async with contextlib.AsyncExitStack() as stack:
        systems = {}
        for level in levels:
            system = await slipway(run.site, monitoring=level)
            systems[level] = await stack.enter_async_context(stopping(system))
            await system.load(run.questions, "hybrid", clients=10, seconds=run.seconds / 4)
        for turn in range(MONITORING_ROUNDS):
            say(f"monitoring levels: round {turn + 1} of {MONITORING_ROUNDS}")
            # The one that begins changes, so that none always comes after the same other.
            for level in (*levels[turn % 3 :], *levels[: turn % 3]):
                seconds = run.seconds / MONITORING_ROUNDS
                outcome = await systems[level].load(
                    run.questions, "hybrid", clients=10, seconds=seconds
                )
                total[level] = total[level] + outcome
        for level, outcome in total.items():
            title = f"monitoring {level}"
            run.add(f"{title}: queries at 10 clients", outcome.per_second, "1/s")
            run.add(f"{title}: processor time", outcome.cpu_milliseconds, "ms", note=CPU_NOTE)
            run.add(f"{title}: p50", outcome.milliseconds(0.5), "ms")
            memory = systems[level].memory() / MEBIBYTE
            run.add(f"{title}: resident memory", memory, "MiB")
    for level in ("standard", "full"):
        ratio = total[level].cpu_milliseconds / total["minimal"].cpu_milliseconds
        note = "processor time per query"
        run.add(f"cost of monitoring {level} over minimal", ratio, "times", note=note)


async def _liveness(run: Run) -> None:
    say(f"liveness while {run.megabytes} MB are uploaded and parsed")
    gibibyte = 1024 * MEBIBYTE
    size = run.megabytes * liveness.MEGABYTE
    system = await slipway(
        run.site,
        workers=1,
        max_upload_bytes=2 * size,
        max_text_characters=2 * size,
        max_expanded_bytes=2 * size,
        parser_memory_bytes=16 * gibibyte,
        parser_seconds=liveness.LONGEST_SECONDS,
    )
    async with stopping(system):
        outcome, note = await liveness.while_parsing(system, size)
        run.add(
            f"/health/live p99 while a {run.megabytes} MB file is uploaded and parsed",
            outcome.milliseconds(0.99),
            "ms",
            goal="<= 100",
            note=f"{len(outcome.latencies)} probes, {outcome.failures} failed, slowest "
            f"{outcome.milliseconds(1):.0f} ms; {note}",
        )
        run.add(
            "slipway: resident memory of the API afterwards",
            system.processes[0].memory() / MEBIBYTE,
            "MiB",
            goal="<= 450",
        )


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
