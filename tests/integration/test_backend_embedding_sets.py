"""Changing the embedding model while searches and uploads go on."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest

from slipway_backend.cli import make_parser
from slipway_backend.embedding.provider import load_embedder
from slipway_backend.embedding_sets import stored
from slipway_backend.embedding_sets.build import Builder
from slipway_backend.embedding_sets.commands import run
from slipway_backend.embedding_sets.filling import fill
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.errors import StartRefused
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

DIMENSION = 768
LATE = b"# Late ferry\n\nThe last ferry leaves at midnight.\n"
PLACES = ("Utvik", "Merrowick", "Tarn", "Osel", "Brandvoll", "Kleppe", "Nordby", "Saltholm")


class EmbeddingServer:
    """OpenAI's interface over vectors of words; a poor one gives every text any vector."""

    def __init__(self) -> None:
        self.poor = False
        self.requests = 0
        self.stop_after: int | None = None
        self.poison = ""
        self.hold_after: int | None = None
        self.holding = threading.Event()
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.requests += 1
                if server.hold_after is not None and server.requests > server.hold_after:
                    server.holding.set()
                    server.released.wait()
                stopped = server.stop_after is not None and server.requests > server.stop_after
                if server.poison and any(server.poison in text for text in body["input"]):
                    stopped = True
                rows = [
                    {"index": index, "embedding": server.vector(text)}
                    for index, text in enumerate(body["input"])
                ]
                answer = json.dumps({} if stopped else {"data": rows[::-1]}).encode()
                self.send_response(503 if stopped else 200)
                self.send_header("content-length", str(len(answer)))
                # A process that was killed does not wait for its answer.
                with suppress(OSError):
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def vector(self, text: str) -> list[float]:
        if self.poor:
            return [random.gauss(0, 1) for _ in range(DIMENSION)]
        row = [0.0] * DIMENSION
        for word in text.lower().split():
            row[zlib.crc32(word.strip(".,?!#").encode()) % DIMENSION] += 1
        return row

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    made = EmbeddingServer()
    yield made
    made.close()


@pytest.fixture
def changed(settings: Settings, server: EmbeddingServer) -> Settings:
    """The settings after somebody asked for the server's model."""
    return settings.model_copy(
        update={"embedding_base_url": server.address, "embedding_model": "words"}
    )


@pytest.fixture
async def filled(make_instance: Any, changed: Settings) -> Any:
    """An instance that serves the builtin model's set and knows the server's address."""
    instance = make_instance()
    await instance.start(changed)
    for number, place in enumerate(PLACES):
        await instance.upload(f"{place}.md", text_of(place, number))
    await instance.work()
    return instance


def text_of(place: str, number: int) -> bytes:
    return f"# Ferry to {place} island\n\nThe ferry to {place} leaves at {number}:15.\n".encode()


def builder_of(instance: Any, settings: Settings) -> Builder:
    pool = instance.state.pool
    sets = EmbeddingSets(settings, pool, load_embedder(settings))
    return Builder(settings, pool, sets, Metrics(settings.monitoring))


async def states(instance: Any) -> dict[int, str]:
    async with instance.state.pool.connection() as connection:
        return {row.id: row.state for row in await stored.all_sets(connection)}


async def counts(instance: Any) -> dict[int, int]:
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT embedding_set_id AS id, count(DISTINCT document_id) AS documents"
            " FROM chunks GROUP BY 1"
        )
        return {row["id"]: row["documents"] for row in await cursor.fetchall()}


@asynccontextmanager
async def searching(instance: Any) -> AsyncIterator[list[str]]:
    """Search all the time; gives the names of the first results, and fails with a search."""
    found: list[str] = []

    async def search() -> None:
        while True:
            for place in PLACES:
                response = await instance.client.post(
                    "/v1/search", json={"query": f"ferry to {place}"}
                )
                assert response.status_code == 200, response.text
                found.append(response.json()["results"][0]["filename"].removesuffix(".md"))
                assert found[-1] == place

    task = asyncio.create_task(search())
    try:
        yield found
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_another_model_is_built_beside_switched_to_and_left_again_without_a_failed_search(
    filled: Any, changed: Settings
) -> None:
    builder = builder_of(filled, changed)
    async with searching(filled) as found:
        await builder.step()
        assert await states(filled) == {1: "kept", 2: "serving"}
        assert await counts(filled) == {1: len(PLACES), 2: len(PLACES)}
        await filled.state.sets.refresh()
        assert (await filled.state.sets.serving()).dimension == DIMENSION
        searches = len(found)
        await filled.upload("late.md", LATE)
        await filled.work()
        assert await counts(filled) == {1: len(PLACES), 2: len(PLACES) + 1}
        assert await asyncio.to_thread(command, changed, "switch", "--to", "1") == 0
        assert await states(filled) == {1: "serving", 2: "kept"}
        assert await counts(filled) == {1: len(PLACES) + 1, 2: len(PLACES) + 1}
        assert len(found) > searches
    await builder.step()
    assert (await states(filled))[1] == "serving", "a kept set waits for a command"
    with pytest.raises(StartRefused, match=r"discard it in \d+ seconds"):
        await asyncio.to_thread(command, changed, "discard", "2")
    async with filled.state.pool.connection() as connection:
        await connection.execute(
            "UPDATE embedding_sets SET switched_at = switched_at - interval '1 minute'"
        )
    assert await asyncio.to_thread(command, changed, "discard", "2") == 0
    assert await counts(filled) == {1: len(PLACES) + 1}


def command(settings: Settings, *arguments: str) -> int:
    return run(settings, make_parser().parse_args(["embeddings", *arguments]))


async def test_a_server_that_is_away_when_a_process_starts_is_asked_when_it_is_back_and_no_other(
    filled: Any, changed: Settings, server: EmbeddingServer
) -> None:
    before = EmbeddingServer()
    before.vector = lambda _: [1.0] * DIMENSION  # type: ignore[method-assign]
    settings = changed.model_copy(update={"previous_embedding_base_url": before.address})
    fingerprint = load_embedder(changed).fingerprint
    row = stored.StoredSet(2, fingerprint, True, "serving", datetime.now(UTC), None, None)
    server.stop_after = 0
    try:
        sets = EmbeddingSets(settings, filled.state.pool, load_embedder(settings))
        found = await sets.usable(row)
        server.stop_after = None
        assert found is not None
        (vector,) = await asyncio.to_thread(found.embedder.embed, ["the ferry"])
        assert sorted(vector)[-2:] == pytest.approx([0.5**0.5] * 2)
        assert before.requests == 0
    finally:
        before.close()


async def test_a_model_that_finds_worse_is_not_switched_to_unless_it_is_forced(
    filled: Any, changed: Settings, server: EmbeddingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.poor = True
    builder = builder_of(filled, changed)
    await builder.step()
    assert await states(filled) == {1: "serving", 2: "building"}
    capsys.readouterr()
    assert await asyncio.to_thread(command, changed, "list") == 0
    listed = capsys.readouterr().out
    assert "finds worse" in listed
    assert f"{len(PLACES)} of {len(PLACES)} documents" in listed
    assert await asyncio.to_thread(command, changed, "switch") == 1
    assert "embeddings switch --to 2 --force" in capsys.readouterr().out
    assert await asyncio.to_thread(command, changed, "switch", "--to", "2", "--force") == 0
    assert await states(filled) == {1: "kept", 2: "serving"}


async def test_a_build_that_was_interrupted_goes_on_and_an_upload_goes_into_both_sets(
    filled: Any, changed: Settings, server: EmbeddingServer
) -> None:
    server.stop_after = 4
    builder = builder_of(filled, changed)
    with pytest.raises(Exception, match="status 503"):
        await builder.step()
    done = (await counts(filled))[2]
    assert 0 < done < len(PLACES)
    server.stop_after = None
    await filled.upload("late.md", LATE)
    await filled.work()
    assert await counts(filled) == {1: len(PLACES) + 1, 2: done + 1}
    await builder_of(filled, changed).step()
    assert await states(filled) == {1: "kept", 2: "serving"}
    assert await counts(filled) == {1: len(PLACES) + 1, 2: len(PLACES) + 1}


@pytest.mark.parametrize("fault", [{"stop_after": 0}, {"poison": "midnight"}])
async def test_an_upload_is_served_although_the_set_that_is_built_cannot_have_it_yet(
    filled: Any, changed: Settings, server: EmbeddingServer, fault: dict[str, Any]
) -> None:
    builder = builder_of(filled, changed)
    async with builder.locked() as connection:
        assert connection is not None
        await builder.wanted(connection)
    vars(server).update(fault)
    late = (await filled.upload("late.md", LATE)).json()
    await filled.work()
    found = await filled.document(late["id"])
    assert found["status"] == "ready"
    assert found["progress"]["chunks_done"] == found["progress"]["chunks_total"] == 1
    assert await counts(filled) == {1: len(PLACES) + 1}
    server.stop_after, server.poison = None, ""
    await builder.step()
    assert await states(filled) == {1: "kept", 2: "serving"}
    assert await counts(filled) == {1: len(PLACES) + 1, 2: len(PLACES) + 1}


@pytest.mark.parametrize(
    ("fault", "ends"), [({"stop_after": 0}, "processing"), ({"poison": "midnight"}, "failed")]
)
async def test_a_server_that_is_away_is_waited_for_and_what_it_alone_refuses_is_given_up(
    filled: Any, changed: Settings, server: EmbeddingServer, fault: dict[str, Any], ends: str
) -> None:
    await builder_of(filled, changed).step()
    vars(server).update(fault)
    late = (await filled.upload("late.md", LATE)).json()
    for _ in range(changed.ingest_attempts + 1):
        await filled.work()
        async with filled.state.pool.connection() as connection:
            await connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
    assert (await filled.document(late["id"]))["status"] == ends
    server.stop_after, server.poison = None, ""
    await filled.work()
    assert (await filled.document(late["id"]))["status"] == ends.replace("processing", "ready")


async def test_a_document_that_cannot_be_embedded_holds_up_no_other_and_no_switch_that_is_wanted(
    filled: Any, changed: Settings, server: EmbeddingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.poison = "Tarn"
    builder = builder_of(filled, changed)
    await builder.step()
    assert await counts(filled) == {1: len(PLACES), 2: len(PLACES) - 1}
    assert await states(filled) == {1: "serving", 2: "building"}
    asked = server.requests
    await builder.step()
    assert server.requests == asked, "it is not tried again and again"
    capsys.readouterr()
    assert await asyncio.to_thread(command, changed, "switch", "--to", "2") == 1
    said = capsys.readouterr().out
    assert "lacks 1 documents" in said
    assert "Tarn.md (" in said
    assert "status 503" in said
    assert "embeddings switch --to 2 --without-missing" in said
    assert await states(filled) == {1: "serving", 2: "building"}
    forced = ("switch", "--to", "2", "--without-missing", "--force")
    assert await asyncio.to_thread(command, changed, *forced) == 0
    assert await states(filled) == {1: "kept", 2: "serving"}
    server.poison = ""
    await builder_of(filled, changed).step()
    assert await counts(filled) == {1: len(PLACES), 2: len(PLACES)}


async def test_a_document_is_given_to_a_set_although_that_takes_longer_than_statements_may(
    filled: Any, changed: Settings
) -> None:
    builder = builder_of(filled, changed)
    async with builder.locked() as connection:
        assert connection is not None
        target = await builder.wanted(connection)
        assert target is not None
        await connection.execute(
            "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END'"
        )
        await connection.execute(
            "CREATE TRIGGER take_time BEFORE INSERT ON chunks"
            " FOR EACH ROW EXECUTE FUNCTION take_time()"
        )
        await connection.execute("SET statement_timeout = '1s'")
        assert (await anext(fill(connection, target)))[1] is None
        await connection.execute("RESET statement_timeout")
    assert (await counts(filled))[2] == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_set_whose_worker_ends_in_mid_build_is_built_on_by_the_next_one(
    filled: Any,
    server: EmbeddingServer,
    start_process: Callable[..., Any],
    eventually: Callable[..., None],
    number: signal.Signals,
) -> None:
    conninfo = filled.state.settings.database_url
    wanted = {"EMBEDDING_BASE_URL": server.address, "EMBEDDING_MODEL": "words"}
    server.hold_after = server.requests + 4
    first = start_process("worker", **wanted)
    assert await asyncio.to_thread(server.holding.wait, 60)
    done = (await counts(filled))[2]
    assert 0 < done < len(PLACES)
    first.send_signal(number)
    # While the embedding server still owes an answer.
    assert await asyncio.to_thread(first.wait, 30) == (0 if number == signal.SIGTERM else -number)
    server.hold_after = None
    server.released.set()
    before = server.requests
    start_process("worker", **wanted)

    def switched() -> bool:
        with psycopg.connect(conninfo) as connection:
            cursor = connection.execute("SELECT state FROM embedding_sets WHERE id = 2")
            return cursor.fetchone() == ("serving",)

    await asyncio.to_thread(eventually, switched, "the switch")
    assert await counts(filled) == {1: len(PLACES), 2: len(PLACES)}
    assert server.requests > before


async def test_an_index_that_a_crash_left_invalid_is_built_again(
    filled: Any, changed: Settings
) -> None:
    with psycopg.connect(changed.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'chunks_embedding_1'::regclass"
        )
    await builder_of(filled, changed.model_copy(update={"embedding_base_url": ""})).step()
    with psycopg.connect(changed.database_url) as connection:
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'chunks_embedding_1'::regclass"
        ).fetchone()
    assert row == (True,)


async def test_an_index_waits_for_older_transactions_longer_than_locks_are_waited_for(
    filled: Any, changed: Settings, eventually: Callable[..., None]
) -> None:
    with psycopg.connect(changed.database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE \"{name}\" SET lock_timeout = '1ms'".encode())
    with (
        psycopg.connect(changed.database_url) as older,
        psycopg.connect(changed.database_url, autocommit=True) as watching,
    ):
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM chunks")
        building = asyncio.create_task(asyncio.to_thread(command, changed, "build"))

        def waits() -> bool:
            row = watching.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid'"
            ).fetchone()
            return building.done() or bool(row and row[0])

        await asyncio.to_thread(eventually, waits, "the index's waiting")
        older.rollback()
    assert await building == 0
    assert await states(filled) == {1: "kept", 2: "serving"}


async def test_a_command_waits_for_the_worker_that_builds_and_holds_up_no_index(
    filled: Any,
    changed: Settings,
    capsys: pytest.CaptureFixture[str],
    eventually: Callable[..., None],
) -> None:
    async with builder_of(filled, changed).locked() as connection:
        assert connection is not None
        building = asyncio.create_task(asyncio.to_thread(command, changed, "build"))
        await asyncio.to_thread(
            eventually,
            lambda: "Waiting until no worker builds" in capsys.readouterr().out,
            "the command's waiting",
        )
        # Waits for all statements that began before.
        await connection.execute("REINDEX INDEX CONCURRENTLY chunks_embedding_1")
    assert await building == 0
    assert await states(filled) == {1: "kept", 2: "serving"}
