"""Processes killed between any two steps leave nothing of what was deleted or replaced.

A step is held by a lock on the table that it writes to; the process that waits there is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from slipway_backend.documents import count_orphan_chunks
from slipway_backend.queue import requeue_stalled
from slipway_backend.settings import Settings
from slipway_backend.sweep import sweep

FIRST = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
SECOND = b"# Ferry\n\nThe ferry to Utvik leaves at 09:40 from quay six.\n"
THIRD = b"# Ferry\n\nThe ferry to Utvik leaves at 11:20 from quay two.\n"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"


class Holder:
    """Holds a table, so that whoever writes to it waits."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], conninfo: str) -> None:
        self._connection = connection
        self._conninfo = conninfo
        self._table = ""

    async def hold(self, table: str) -> None:
        """Let no one write to a table; readers go on."""
        await self._connection.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
        self._table = table

    async def somebody_waits(self) -> None:
        """Return when a process has come to the step that writes to the table."""
        watching = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        async with watching, asyncio.timeout(60):
            while True:
                cursor = await watching.execute(WAITING, [self._table])
                row = await cursor.fetchone()
                if row and row[0]:
                    return
                await asyncio.sleep(0.02)

    async def release(self) -> None:
        """Let them go on."""
        await self._connection.rollback()


@asynccontextmanager
async def holder(settings: Settings) -> AsyncIterator[Holder]:
    connection = await psycopg.AsyncConnection.connect(settings.database_url)
    async with connection:
        yield Holder(connection, settings.database_url)


@pytest.fixture
async def served(instance: Any) -> dict[str, Any]:
    """A document of a collection of its own: its first version served, its second one queued."""
    await instance.client.post("/v1/collections", json={"name": "plans"})
    await upload(instance, FIRST)
    await instance.work()
    return dict((await upload(instance, SECOND)).json())


async def upload(instance: Any, content: bytes) -> Any:
    return await instance.client.post(
        "/v1/documents", files={"file": ("ferry.md", content)}, params={"collection": "plans"}
    )


QUESTION = "When does the ferry to Utvik leave?"


async def everything_told(instance: Any, document_id: str) -> str:
    """What search, answers, chats, citations, files, passages and exports say, put together."""
    client = instance.client
    chat = {"model": "slipway", "messages": [{"role": "user", "content": QUESTION}]}
    # A client that cited the document before asks for more of the very same one.
    earlier = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "[1]"}]
    answers = [
        await client.post("/v1/search", json={"query": "ferry to Utvik", "limit": 50}),
        await client.post("/v1/query", json={"question": QUESTION}),
        await client.post("/v1/query", json={"question": QUESTION, "history": earlier}),
        await client.post("/v1/query", json={"question": QUESTION, "stream": True}),
        await client.post("/v1/chat/completions", json=chat),
        await client.post("/v1/chat/completions", json=chat | {"stream": True}),
        await client.get(f"/v1/documents/{document_id}/file"),
        await client.get(f"/v1/documents/{document_id}/passages"),
        await client.get("/v1/collections/plans/export"),
    ]
    return "\n".join(answer.text for answer in answers)


async def finish(instance: Any) -> None:
    """Do what a killed worker left, as its successor would."""
    await requeue_stalled(instance.state.queue, 0.0)
    await instance.work()


async def check_sound(instance: Any) -> set[str]:
    """Assert that no chunk is an orphan and every file has a document; return the files."""
    async with instance.state.pool.connection() as connection:
        assert await count_orphan_chunks(connection) == 0
        cursor = await connection.execute(
            "SELECT DISTINCT served_sha256 AS sha256 FROM documents"
            " UNION SELECT sha256 FROM documents"
        )
        wanted = {row["sha256"] for row in await cursor.fetchall()} - {None}
    await sweep(instance.state.pool, instance.state.files, age_seconds=-60)
    found = {path.name for path in instance.state.files.directory.rglob("*") if path.is_file()}
    assert found == wanted or not wanted
    return found


async def come_to(step: str, hold: Holder, settings: Settings) -> None:
    """Return when the worker stands at a step of the second version's ingestion."""
    if step == "before it begins":
        await hold.somebody_waits()
    elif step == "after parsing":
        await hold.somebody_waits()
        watching = await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True)
        async with watching:
            await watching.execute("LISTEN slipway_documents")
            await hold.release()
            async for _ in watching.notifies(timeout=60):
                break
        await hold.hold("documents")
        await hold.somebody_waits()
    elif step == "while it stores":
        await hold.somebody_waits()
    else:
        await hold.somebody_waits()
        async with holder(settings) as jobs:
            await jobs.hold("procrastinate_jobs")
            await hold.release()
            await jobs.somebody_waits()


STEPS = {
    "before it begins": "documents",
    "after parsing": "documents",
    "while it stores": "chunks",
    "after it stored": "chunks",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("action", ["delete", "replace", "delete the collection"])
async def test_a_worker_killed_at_a_step_brings_nothing_back(
    instance: Any,
    served: dict[str, Any],
    settings: Settings,
    start_process: Callable[..., Any],
    step: str,
    action: str,
) -> None:
    async with holder(settings) as hold:
        await hold.hold(STEPS[step])
        worker = start_process("worker")
        await come_to(step, hold, settings)
        worker.kill()
        worker.wait()
        await hold.release()
    path = f"/v1/documents/{served['id']}"
    if action == "delete":
        assert (await instance.client.delete(path)).status_code == 204
    elif action == "replace":
        assert (await upload(instance, THIRD)).status_code == 202
    else:
        gone = await instance.client.delete("/v1/collections/plans", params={"force": True})
        assert gone.status_code == 204
    await finish(instance)
    told = await everything_told(instance, served["id"])
    assert "07:15" not in told
    assert "09:40" not in told
    assert ("11:20" in told) == (action == "replace")
    left = (await instance.client.get("/v1/documents")).json()["total"]
    assert left == (action == "replace")
    assert len(await check_sound(instance)) == (action == "replace")


@pytest.mark.parametrize("action", ["delete", "replace"])
async def test_what_happens_while_a_worker_stores_is_the_last_word(
    instance: Any,
    served: dict[str, Any],
    settings: Settings,
    start_process: Callable[..., Any],
    action: str,
) -> None:
    async with holder(settings) as hold:
        await hold.hold("chunks")
        start_process("worker")
        await hold.somebody_waits()
        if action == "delete":
            acting = asyncio.create_task(instance.client.delete(f"/v1/documents/{served['id']}"))
        else:
            acting = asyncio.create_task(upload(instance, THIRD))
        await asyncio.sleep(0)
        await hold.release()
        assert (await acting).status_code in {202, 204}
    if action == "replace":
        await instance.wait_for(served["id"], "ready")
    told = await everything_told(instance, served["id"])
    assert "09:40" not in told
    assert ("11:20" in told) == (action == "replace")
    await check_sound(instance)


# In the order of its steps.
WRITTEN_BY_A_DELETION = ("documents", "chunks", "procrastinate_jobs", "audit")


async def test_a_server_killed_in_mid_deletion_has_deleted_all_or_nothing(
    instance: Any,
    served: dict[str, Any],
    settings: Settings,
    start_process: Callable[..., Any],
    eventually: Callable[..., None],
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
        return False

    async def killed_while(hold: Holder) -> None:
        server = start_process("serve", PORT=str(port), HOST="127.0.0.1")
        await asyncio.to_thread(eventually, ready, "the server's start")
        headers = {"Authorization": instance.client.headers["Authorization"]}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            deleting = asyncio.create_task(client.delete(f"/v1/documents/{served['id']}"))
            await hold.somebody_waits()
            server.kill()
            server.wait()
            with contextlib.suppress(httpx.TransportError):
                await deleting

    for table in WRITTEN_BY_A_DELETION:
        async with holder(settings) as hold:
            await hold.hold(table)
            await killed_while(hold)
            await hold.release()
    told = await everything_told(instance, served["id"])
    assert "07:15" in told
    assert (await instance.client.get(f"/v1/documents/{served['id']}")).status_code == 200

    # Between the commit and the file: nothing tells of the document, and the sweep takes the file.
    original = instance.state.files.path(served["sha256"])
    await instance.client.delete(f"/v1/documents/{served['id']}")
    keep = await upload(instance, THIRD)
    original.parent.mkdir(exist_ok=True)
    original.write_bytes(SECOND)
    await finish(instance)
    told = await everything_told(instance, served["id"])
    assert "07:15" not in told
    assert "09:40" not in told
    assert await check_sound(instance) == {json.loads(keep.text)["sha256"]}
