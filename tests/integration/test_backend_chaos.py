"""Processes are killed at random while people upload, replace and delete; then all is compared."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from served import Process, Site, free_port, site, wait_until_up

SEED = 20260101
UPLOADS = 500
SOURCES = 320
CLIENTS = 8
QUESTIONS = 20
UNTOUCHED = "untouched"
# Enough for every note to tell of something else, so that it is the nearest to its own words.
THINGS = (
    "anchor apple barley basket bell blanket bottle bridge bucket butter candle carpet castle"
    " cheese clock coffee compass copper cotton curtain diamond dragon drum engine feather fiddle"
    " forest garden ginger glove guitar hammer harbour helmet honey kettle ladder lantern leather"
    " lemon mirror needle orchard oyster paper pepper piano pillow pocket rope saddle salt scarf"
    " sheep shovel silver spider stove sugar tailor teapot thunder tiger tobacco tulip turtle"
    " umbrella violin wagon walnut whale window winter zebra"
).split()
# What the clients see of a killed backend, which the edge would keep from them.
GONE = (httpx.TransportError,)


class Fleet:
    """Two backends and two workers of one site; each is killed now and then and started again."""

    def __init__(self, place: Site) -> None:
        self._place = place
        self.ports = [free_port(), free_port()]
        self._running: list[tuple[str, dict[str, object], Process]] = []
        for port in self.ports:
            self._start("serve", {"port": port})
        for _ in range(2):
            self._start("worker", {})
        for name, changed, process in self._running:
            if name == "serve":
                wait_until_up(process, f"http://127.0.0.1:{changed['port']}/health/ready")
        self.killed = 0

    def _start(self, name: str, changed: dict[str, object]) -> None:
        settings = {"stalled_seconds": 2.0, "max_unfinished_per_user": 10_000, **changed}
        process = self._place.backend(name, **settings)
        self._running.append((name, changed, process))

    def kill_one(self, choice: random.Random) -> None:
        """Kill one process without a warning, and start another in its place."""
        name, changed, process = self._running.pop(choice.randrange(len(self._running)))
        os.killpg(process.popen.pid, signal.SIGKILL)
        process.popen.wait()
        self.killed += 1
        self._start(name, changed)

    async def kill_until(self, done: asyncio.Event, choice: random.Random) -> None:
        """Go on killing until all uploads are accepted."""
        while not done.is_set():
            try:
                await asyncio.wait_for(done.wait(), choice.uniform(0.8, 2.5))
            except TimeoutError:
                await asyncio.to_thread(self.kill_one, choice)


class People:
    """Clients that upload, replace and delete, and know what must be there in the end."""

    def __init__(self, ports: list[int], token: str) -> None:
        self._bases = [f"http://127.0.0.1:{port}" for port in ports]
        self._headers = {"Authorization": f"Bearer {token}"}
        self.expected: dict[str, bytes] = {}

    async def work(self, mine: list[int], choice: random.Random) -> None:
        """Do the uploads with these numbers, each to a source of this client alone."""
        async with httpx.AsyncClient(headers=self._headers, timeout=30) as client:
            for number in mine:
                source = f"note-{number % SOURCES}.md"
                content = _content(source, number)
                accepted = await self._insist(
                    client, "POST", "/v1/documents", files={"file": (source, content)}
                )
                assert accepted.status_code in (200, 202), accepted.text
                self.expected[source] = content
                if choice.random() < 0.1:
                    path = f"/v1/documents/{accepted.json()['id']}"
                    gone = await self._insist(client, "DELETE", path)
                    # A second try finds that the first one had worked.
                    assert gone.status_code in (204, 404), gone.text
                    del self.expected[source]

    async def upload_untouched(self, sources: list[str]) -> None:
        """Upload what must be there of some sources to another collection, once."""
        async with httpx.AsyncClient(
            base_url=self._bases[0], headers=self._headers, timeout=30
        ) as client:
            (await client.post("/v1/collections", json={"name": UNTOUCHED})).raise_for_status()
            for source in sources:
                accepted = await client.post(
                    "/v1/documents",
                    files={"file": (source, self.expected[source])},
                    params={"collection": UNTOUCHED},
                )
                assert accepted.status_code == 202, accepted.text

    async def told(self, source: str, collection: str) -> list[Any]:
        """What a question and a chat about one document are answered from a collection."""
        # Its own words, so that neither half of the search finds another one nearer.
        question = self.expected[source].decode().split("\n\n")[1]
        narrowed = {"collections": [collection]}
        chat = {"role": "user", "content": question}
        async with httpx.AsyncClient(
            base_url=self._bases[0], headers=self._headers, timeout=30
        ) as client:
            asked = await client.post(
                "/v1/query", json={"question": question, "limit": 1, "filters": narrowed}
            )
            chatted = await client.post(
                "/v1/chat/completions",
                json={"model": f"slipway/{collection}", "messages": [chat]},
            )
        answer = asked.raise_for_status().json()
        message = chatted.raise_for_status().json()["choices"][0]["message"]
        for citation in answer["citations"] + message["citations"]:
            # Nothing but what is there, in its last version, word by word.
            assert citation["collection"] == collection
            assert citation["passage"] in self.expected[citation["source"]].decode()
        return [
            answer["answer"],
            *[
                (each["number"], each["source"], each["heading"], each["passage"])
                for each in (answer["citations"][0], message["citations"][0])
            ],
        ]

    async def _insist(
        self, client: httpx.AsyncClient, method: str, path: str, **body: Any
    ) -> httpx.Response:
        """Ask one backend after the other until one answers."""
        attempt = 0
        while True:
            base = self._bases[attempt % len(self._bases)]
            attempt += 1
            try:
                answer = await client.request(method, base + path, **body)
            except GONE:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.2)


def _content(source: str, number: int) -> bytes:
    words = " ".join(random.Random(number).sample(THINGS, 12))
    return f"# Note {source}\n\nMarker m{number:04d} of the crane log: {words}.\n".encode()


def _marker(content: bytes) -> str:
    return content.decode().split("Marker ")[1][:5]


@pytest.fixture
def place(model_directory: Path) -> Iterator[Site]:
    with site(model_directory) as made:
        made.migrate()
        yield made


async def _login(place: Site, port: int) -> str:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.post(
            "/v1/login", json={"username": "admin", "password": place.password}
        )
        return str(answer.raise_for_status().json()["access_token"])


def _unfinished(place: Site) -> int:
    with psycopg.connect(place.database_url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM documents WHERE status IN ('queued', 'processing'))"
            " + (SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"
        ).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.timeout(600)
async def test_nothing_is_lost_or_doubled_when_processes_are_killed_during_500_uploads(
    place: Site, eventually: Any
) -> None:
    choice = random.Random(SEED)
    fleet = await asyncio.to_thread(Fleet, place)
    people = People(fleet.ports, await _login(place, fleet.ports[0]))
    done = asyncio.Event()
    killing = asyncio.create_task(fleet.kill_until(done, choice))
    # Each source belongs to one client, so that what it did last is what must be there.
    shares = [
        [number for number in range(UPLOADS) if number % SOURCES % CLIENTS == client]
        for client in range(CLIENTS)
    ]
    try:
        await asyncio.gather(*(people.work(mine, random.Random(SEED + mine[0])) for mine in shares))
    finally:
        done.set()
        await killing
    assert fleet.killed >= 5
    await asyncio.to_thread(
        eventually, lambda: _unfinished(place) == 0, "the end of every ingestion", 300.0
    )

    with psycopg.connect(place.database_url) as connection:
        rows = connection.execute(
            "SELECT source, sha256, served_sha256, status, chunks,"
            " (SELECT count(*) FROM chunks WHERE document_id = documents.id),"
            " (SELECT string_agg(text, ' ') FROM chunks WHERE document_id = documents.id)"
            " FROM documents"
        ).fetchall()
        orphans = connection.execute(
            "SELECT count(*) FROM chunks WHERE document_id NOT IN (SELECT id FROM documents)"
        ).fetchone()
    found = {row[0]: row for row in rows}
    assert len(found) == len(rows), "a document is there twice"
    assert set(found) == set(people.expected)
    for source, content in people.expected.items():
        _, sha256, served, status, counted, stored, text = found[source]
        assert sha256 == served == hashlib.sha256(content).hexdigest(), source
        assert (status, counted, stored) == ("ready", 1, 1), source
        assert _marker(content) in text, source
    assert orphans == (0,)
    kept = {path.name for path in (place.folder / "files").glob("??/*")}
    assert {row[2] for row in rows} <= kept

    # Answered as if nothing had ever been killed: that is what a collection beside it is for.
    asked = random.Random(SEED).sample(sorted(people.expected), QUESTIONS)
    await people.upload_untouched(asked)
    await asyncio.to_thread(
        eventually, lambda: _unfinished(place) == 0, "the end of the untouched run", 300.0
    )
    for source in asked:
        told = await people.told(source, "default")
        assert told == await people.told(source, UNTOUCHED)
        assert {each[1] for each in told[1:]} == {source}
