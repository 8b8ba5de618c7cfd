"""A vector index that lost passages is noticed, and made anew by the command that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import numpy
import psycopg
import pytest
from served import free_port

from slipway_backend.database import make_pool
from slipway_backend.documents import vector_literal
from slipway_backend.search.commands import run_index_check
from slipway_backend.search.index_health import check_serving
from slipway_backend.settings import Settings

PASSAGES = 2_000
DIMENSION = 384
INDEX = "chunks_embedding_1"


@pytest.fixture
def stored(settings: Settings) -> psycopg.Connection[Any]:
    """A connection to a database with made passages and a healthy index over them."""
    connection = psycopg.connect(settings.require_database(), autocommit=True)
    vectors = numpy.random.default_rng(3).normal(size=(PASSAGES, DIMENSION))
    connection.execute(
        "INSERT INTO embedding_sets (id, model, dimension) VALUES (1, 'given', %s)", [DIMENSION]
    )
    document = connection.execute(
        "INSERT INTO documents (owner_id, idempotency_key, filename, media_type, bytes, sha256,"
        " status) SELECT id, 'made', 'made.md', 'text/markdown', 1, repeat('0', 64), 'ready'"
        " FROM users LIMIT 1 RETURNING id"
    ).fetchone()
    assert document is not None
    columns = "document_id, embedding_set_id, position, text, tokens, embedding"
    with connection.cursor() as cursor, cursor.copy(f"COPY chunks ({columns}) FROM STDIN") as copy:
        for position, vector in enumerate(vectors.astype(numpy.float32)):
            copy.write_row((document[0], 1, position, "passage", 1, vector_literal(vector)))
    connection.execute("ANALYZE chunks")
    return connection


def damage(connection: psycopg.Connection[Any]) -> None:
    """Leave every third passage out of the index, as a vacuum of pgvector before 0.8.3 can.

    While PostgreSQL believes that the index takes no entries yet, rows are written without one.
    """
    ready = "UPDATE pg_index SET indisready = %s WHERE indexrelid = %s::regclass"
    connection.execute(ready, [False, INDEX])
    connection.execute("UPDATE chunks SET heading = 'moved' WHERE position %% 3 = 0", [])
    connection.execute(ready, [True, INDEX])


def test_a_damaged_index_is_reported_and_repaired_by_the_command_that_the_report_names(
    stored: psycopg.Connection[Any], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with stored:
        assert run_index_check(settings, repair=False) == 0
        assert "recall@10 1.0" in capsys.readouterr().out.replace("0.99", "1.0")
        damage(stored)
        assert run_index_check(settings, repair=False) == 1
        said = capsys.readouterr().out
        assert "That is too low: run `slipway-backend index check --repair`." in said
        assert 0.4 < float(said.split("recall@10 ")[1].split()[0]) < 0.85
        assert run_index_check(settings, repair=True) == 0
        assert float(capsys.readouterr().out.split("recall@10 ")[2].split()[0]) >= 0.97
        assert run_index_check(settings, repair=False) == 0
        # REINDEX CONCURRENTLY leaves an invalid twin behind where it fails.
        row = stored.execute(
            "SELECT count(*) FROM pg_index WHERE indrelid = 'chunks'::regclass AND NOT indisvalid"
        ).fetchone()
        assert row == (0,)


async def test_one_process_at_a_time_measures(
    stored: psycopg.Connection[Any], settings: Settings
) -> None:
    async with make_pool(settings.require_database(), size=1, timeout=10.0) as pool:
        with stored:
            with stored.transaction():
                stored.execute("SELECT pg_advisory_xact_lock(hashtext('slipway index check'))")
                assert await check_serving(pool) is None
            health = await check_serving(pool)
        assert health is not None
        assert health.healthy


def test_a_worker_tells_what_its_index_finds(
    stored: psycopg.Connection[Any], start_process: Callable[..., Any]
) -> None:
    damage(stored)
    stored.close()
    port = free_port()
    worker = start_process("worker", WORKER_METRICS_PORT=str(port))
    for line in iter(worker.stdout.readline, b""):
        if b'"index_damaged"' in line:
            break
    told = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    values = [line.split()[1] for line in told.splitlines() if line.startswith("slipway_index_rec")]
    assert 0.4 < float(values[0]) < 0.85
