"""`slipway-backend embeddings ...`: what an operator asks and orders about embedding sets."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from uuid import UUID

from slipway_backend.database import Connection, Pool, check_schema, make_pool
from slipway_backend.embedding.provider import load_embedder
from slipway_backend.embedding_sets import EmbeddingSet, progress, stored
from slipway_backend.embedding_sets.build import (
    BUILD_LOCK,
    Builder,
    NotComplete,
    switch,
    take_lock,
)
from slipway_backend.embedding_sets.comparison import Question, read_questions
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.errors import Problem, StartRefused
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

BATCH = 5000
SHOWN = 20
LOCK_SECONDS = 1.0
# Processes follow a switch within their poll of 2 seconds, later when the database is slow.
GRACE_SECONDS = 30


def run(settings: Settings, chosen: argparse.Namespace) -> int:
    """Run the chosen command; return the exit code. Raises StartRefused with what to do."""
    try:
        return asyncio.run(_run(settings, chosen))
    except Problem as problem:
        raise StartRefused(problem.detail) from None


async def _run(settings: Settings, chosen: argparse.Namespace) -> int:
    async with make_pool(settings.require_database(), size=4, timeout=10.0) as pool:
        await check_schema(pool)
        if chosen.embeddings == "list":
            return await _list(pool)
        if chosen.embeddings == "discard":
            return await _discard(pool, chosen.id)
        sets = EmbeddingSets(settings, pool, load_embedder(settings))
        await sets.refresh()
        builder = Builder(settings, pool, sets, Metrics(settings.monitoring))
        labelled = read_questions(chosen.questions) if chosen.questions else None
        async with pool.connection() as connection:
            await _wait_for_lock(connection)
            # Its end, also by a signal, gives the lock back.
            try:
                if chosen.embeddings == "build":
                    return await _build(builder, connection, labelled)
                return await _switch(builder, connection, chosen, labelled)
            finally:
                await connection.execute("SELECT pg_advisory_unlock(%s)", [BUILD_LOCK])


async def _wait_for_lock(connection: Connection) -> None:
    # Asked again and again: a statement that waits is ended by the server's lock_timeout, and an
    # index that is made concurrently waits for the end of every such statement.
    told = False
    while not await take_lock(connection):
        if not told:
            _say("Waiting until no worker builds.")
            told = True
        await asyncio.sleep(LOCK_SECONDS)


async def _list(pool: Pool) -> int:
    async with pool.connection() as connection:
        for line in await progress.describe(connection):
            _say(line)
    return 0


async def _build(builder: Builder, connection: Connection, labelled: list[Question] | None) -> int:
    fingerprint = await builder.sets.wanted_fingerprint()
    try:
        number = await stored.add_building(connection, fingerprint)
    except LookupError as state:
        _say(f"The set of {fingerprint.model} is {state} already.")
        return 0
    return await _bring(
        builder, connection, EmbeddingSet(number, builder.sets.wanted), labelled, judge=True
    )


async def _switch(
    builder: Builder,
    connection: Connection,
    chosen: argparse.Namespace,
    labelled: list[Question] | None,
) -> int:
    number = chosen.to
    sets = await stored.all_sets(connection)
    if number is None:
        number = next((row.id for row in sets if row.state == "building"), None)
    row = next((row for row in sets if row.id == number and row.state != "discarding"), None)
    if row is None:
        raise StartRefused("There is no such set to switch to: see `embeddings list`.")
    if row.state == "serving":
        _say(f"Set {row.id} is served already.")
        return 0
    target = await builder.sets.usable(row)
    if target is None:
        raise StartRefused(
            f"This process cannot embed with {row.fingerprint.model}, so the set cannot be "
            "completed: name the model in the settings (MODEL_DIRECTORY, EMBEDDING_BASE_URL, or "
            "their PREVIOUS_ forms)."
        )
    await stored.add_building(connection, row.fingerprint)
    # One that was served before is gone back to because somebody says so.
    judge = not chosen.force and row.switched_at is None
    return await _bring(
        builder,
        connection,
        target,
        labelled,
        judge=judge,
        without_missing=chosen.without_missing,
    )


async def _bring(
    builder: Builder,
    connection: Connection,
    target: EmbeddingSet,
    labelled: list[Question] | None,
    *,
    judge: bool,
    without_missing: bool = False,
) -> int:
    tell = await _progress_bar(connection, target)
    failed = await builder.complete(connection, target, tell=tell)
    if failed and not await _goes_on(connection, target, failed, wanted=without_missing):
        return 1
    if judge:
        report = await builder.judge(connection, target, labelled)
        _say(f"Set {target.id} {report.summary}.")
        if not report.passed:
            _say(
                "It was not switched to. To serve it all the same: "
                f"slipway-backend embeddings switch --to {target.id} --force"
            )
            return 1
    while True:
        try:
            await switch(connection, target.id, without=failed)
        except NotComplete:
            more = await builder.complete(connection, target)
            if more and not await _goes_on(connection, target, more, wanted=without_missing):
                return 1
            failed |= more
            continue
        _say(f"Set {target.id} is served. `embeddings list` shows how to go back.")
        return 0


async def _goes_on(
    connection: Connection, target: EmbeddingSet, failed: dict[UUID, str], *, wanted: bool
) -> bool:
    """Name the documents that could not be embedded; whether to go on without them."""
    shown = list(failed)[:SHOWN]
    cursor = await connection.execute(
        "SELECT id, coalesce(source, filename) AS name FROM documents WHERE id = ANY (%s)", [shown]
    )
    names = {row["id"]: row["name"] for row in await cursor.fetchall()}
    for document in shown:
        _say(f"  {names.get(document, 'deleted meanwhile')} ({document}): {failed[document]}")
    if len(failed) > len(shown):
        _say(f"  and {len(failed) - len(shown)} more")
    _say(f"Set {target.id} lacks {len(failed)} documents that could not be embedded.")
    if wanted:
        _say("Search finds them again when a worker has embedded them: it tries now and then.")
    else:
        _say(
            "It was not switched to. Replace or delete them; or serve it all the same, and find "
            f"them no more: slipway-backend embeddings switch --to {target.id} --without-missing"
        )
    return wanted


async def _discard(pool: Pool, number: int) -> int:
    async with pool.connection() as connection:
        await _refuse_just_served(connection, number)
        cursor = await connection.execute(
            "UPDATE embedding_sets SET state = 'discarding' WHERE id = %s"
            " AND state <> 'serving' RETURNING id",
            [number],
        )
        if await cursor.fetchone() is None:
            raise StartRefused(f"Set {number} is served or not there: nothing was discarded.")
        name = stored.index_name(number)
        # It waits for every statement that may use the index, a backup's among them.
        await connection.execute("SET lock_timeout = 0")
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
        removed = BATCH
        while removed:
            cursor = await connection.execute(
                "DELETE FROM chunks WHERE id = ANY (ARRAY("
                "SELECT id FROM chunks WHERE embedding_set_id = %s LIMIT %s))",
                [number, BATCH],
            )
            removed = cursor.rowcount
        await connection.execute("DELETE FROM embedding_sets WHERE id = %s", [number])
    _say(f"Set {number} is discarded.")
    return 0


async def _refuse_just_served(connection: Connection, number: int) -> None:
    """Raise StartRefused while processes may still search in a set that was served before."""
    cursor = await connection.execute(
        "SELECT ceil(%s - extract(epoch FROM now() - serving.switched_at))::integer AS seconds"
        " FROM embedding_sets AS serving, embedding_sets AS given WHERE serving.state = 'serving'"
        " AND given.id = %s AND given.id <> serving.id AND given.switched_at IS NOT NULL",
        [GRACE_SECONDS, number],
    )
    row = await cursor.fetchone()
    if row is not None and (row["seconds"] or 0) > 0:
        raise StartRefused(
            f"Set {number} may have been served until a moment ago, and searches may still use "
            f"it: discard it in {row['seconds']} seconds."
        )


async def _progress_bar(connection: Connection, target: EmbeddingSet) -> Callable[[], None]:
    figures = await progress.progress_of(connection, target.id)
    done = figures.documents

    def tell() -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {figures.served} documents")
            sys.stderr.flush()

    return tell


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
