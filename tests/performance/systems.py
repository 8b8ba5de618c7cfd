"""The systems that are compared: how each is started, asked, and given documents."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from performance.corpus import Chunk
from performance.load import Client, Outcome, drive
from served import Process, Site, free_port, wait_until_up

ROOT = Path(__file__).parents[2]
LIMIT = 10
WARM_SECONDS = 3.0
INGEST_SECONDS = 900.0


@dataclass(eq=False)
class System:
    """One system that runs: its processes, address, and what its requests carry."""

    name: str
    site: Site
    processes: list[Process]
    base: str
    search_path: str
    modes: tuple[str, ...] = ("hybrid", "vector")
    headers: dict[str, str] = field(default_factory=dict)

    def client(self) -> Client:
        """A new connection to it."""
        return Client(self.base, self.headers)

    def memory(self) -> int:
        """Resident bytes of its processes."""
        return sum(process.memory() for process in self.processes)

    def body(self, question: str, mode: str) -> bytes:
        """One search as the system takes it, in one of its modes."""
        value: dict[str, object] = {"query": question, "limit": LIMIT}
        if self.name != "slipway":
            value["hybrid"] = mode == "hybrid"
        return json.dumps(value).encode()

    async def load(
        self, questions: Sequence[str], mode: str, *, clients: int, seconds: float
    ) -> Outcome:
        """Drive searches."""
        bodies = [self.body(question, mode) for question in questions]
        before = self._cpu_seconds()
        outcome = await drive(
            self.client, self.search_path, bodies, clients=clients, seconds=seconds
        )
        outcome.cpu_seconds = self._cpu_seconds() - before
        return outcome

    def _cpu_seconds(self) -> float:
        servers = sum(process.cpu_seconds() for process in self.processes)
        return servers + self.site.database_cpu_seconds()

    async def check(self, question: str, mode: str) -> None:
        """Raise RuntimeError unless a search in this mode finds something."""
        client = self.client()
        try:
            body = self.body(question, mode)
            status, content = await client.request("POST", self.search_path, body)
            if status != 200 or not json.loads(content)["results"]:
                raise RuntimeError(f"{self.name} {mode}: {status} {content[:300]!r}")
        finally:
            await client.close()

    def stop(self) -> None:
        """End its processes."""
        for process in self.processes:
            process.stop()


async def slipway(
    site: Site, *, mode: str = "hybrid", workers: int = 0, **changed: object
) -> System:
    """Slipway's API, and as many workers. In `vector` mode its searches are by vectors alone."""
    module = "slipway_backend" if mode == "hybrid" else "performance.vector_serve"
    server, base = site.serve(module=module, **changed)
    processes = [server]
    for number in range(workers):
        beat = site.folder / f"heartbeat-{number}"
        processes.append(site.backend("worker", worker_heartbeat_file=beat, **changed))
    client = Client(base)
    answer = await client.post("/v1/login", {"username": "admin", "password": site.password})
    await client.close()
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    return System("slipway", site, processes, base, "/v1/search", (mode,), headers)


@dataclass(frozen=True)
class Peers:
    """The frameworks' own environment, and what they embed with."""

    python: Path
    embedding: str


def peer(
    site: Site, name: str, peers: Peers, *, setup: bool = False, ef_search: str = ""
) -> System:
    """A framework's app as one uvicorn process; without `ef_search` it has its own default."""
    port = free_port()
    command = [
        *(str(peers.python), "-m", "uvicorn", f"performance.peers.{name}_app:app"),
        *("--port", str(port), "--log-level", "warning", "--no-access-log"),
    ]
    environment = {
        "DATABASE_URL": site.database_url,
        "PEER_EMBEDDING": peers.embedding,
        "PEER_SETUP": "1" if setup else "",
        "PEER_EF_SEARCH": ef_search,
        # Nothing of a run asks a public host, and nothing is reported to one.
        "HF_HUB_OFFLINE": "1",
        "LANGSMITH_TRACING": "false",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'services/backend/src'}",
    }
    process = site.start(name, command, environment)
    base = f"http://127.0.0.1:{port}"
    wait_until_up(process, f"{base}/health/live")
    return System(name, site, [process], base, "/search")


@asynccontextmanager
async def stopping(system: System) -> AsyncIterator[System]:
    """Stop the system at the end of a block."""
    try:
        yield system
    finally:
        await asyncio.to_thread(system.stop)


async def ingest(system: System, documents: Sequence[Sequence[Chunk]]) -> tuple[int, float]:
    """Hand over documents and wait until they can be found; chunks stored, and seconds."""
    if system.name == "slipway":
        return await _upload(system, documents)
    started = time.perf_counter()
    client = system.client()
    count = 0
    for number, document in enumerate(documents):
        texts = [chunk.passage for chunk in document]
        answer = await client.post("/documents", {"name": f"manual {number}", "texts": texts})
        count += answer["chunks"]
    await client.close()
    return count, time.perf_counter() - started


async def _upload(system: System, documents: Sequence[Sequence[Chunk]]) -> tuple[int, float]:
    client = system.client()
    started = time.perf_counter()
    waiting = []
    for document in documents:
        text = "\n\n".join(f"# {chunk.heading}\n\n{chunk.text}" for chunk in document)
        name = f"{uuid4().hex}.md"
        waiting.append(await upload(client, name, text.encode()))
    count = 0
    async with asyncio.timeout(INGEST_SECONDS):
        while waiting:
            found = await client.get(f"/v1/documents/{waiting[0]}")
            if found["status"] == "failed":
                raise RuntimeError(f"a document of the corpus failed: {found['error']}")
            if found["status"] == "ready":
                count += found["chunks"]
                waiting.pop(0)
            else:
                await asyncio.sleep(0.05)
    await client.close()
    return count, time.perf_counter() - started


async def upload(client: Client, name: str, content: bytes) -> str:
    """Upload one file; returns the document's id."""
    boundary = uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    media_type = f"multipart/form-data; boundary={boundary}"
    status, answer = await client.request("POST", "/v1/documents", body, media_type)
    if status >= 300:
        raise RuntimeError(f"upload: {status} {answer[:300]!r}")
    return str(json.loads(answer)["id"])


async def given(
    system: System, site: Site, chunks: Sequence[Chunk], vectors: Path
) -> tuple[int, float]:
    """Store chunks whose vectors are given; chunks, and seconds of the storing alone."""
    texts = site.folder / "given.json"
    texts.write_text(json.dumps([chunk.passage for chunk in chunks]))
    client = system.client()
    answer = await client.post("/given", {"texts": str(texts), "vectors": str(vectors)})
    await client.close()
    return len(chunks), float(answer["seconds"])
