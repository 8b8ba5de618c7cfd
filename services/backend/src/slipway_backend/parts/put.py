"""Putting a part of a point back: its files, then one transaction with all of its rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

import anyio.to_thread
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from slipway_backend import audit, contents, documents, uploading
from slipway_backend.database import Connection
from slipway_backend.errors import StartRefused
from slipway_backend.parts import comparison, look
from slipway_backend.parts.comparison import Change, Comparison
from slipway_backend.parts.look import Here
from slipway_backend.parts.package import Package
from slipway_backend.queue import choose_lane, choose_priority, defer_ingestion

BY = "restore"
#: Passages of one statement: some hundred KB of vectors.
ROWS = 64
CHANGED = (
    "Something of it was changed by somebody else meanwhile. Nothing was changed: type it again, "
    "to be told what is there now."
)
COLUMNS = """
SELECT attname::text AS name FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped
"""
# The restored rows' text was written in this zone too.
SESSION = "SET LOCAL timezone = 'UTC'"


async def compare(here: Here, package: Package) -> Comparison:
    """What putting the part back would change; nothing is touched. Raises StartRefused."""
    look.require_schema(str(package.head["schema"]))
    async with here.pool.connection() as connection, connection.transaction():
        await connection.execute(SESSION)
        return await look.compare(connection, here, package)


async def put(here: Here, package: Package, agreed: str) -> Comparison:
    """Do what `compare` told, if that is still what was agreed to; else raise StartRefused.

    Killed at any moment, either all of it is done or nothing but files that the sweep removes.
    """
    look.require_schema(str(package.head["schema"]))
    try:
        async with here.pool.connection() as connection, connection.transaction():
            await connection.execute(SESSION)
            # The vector index takes milliseconds for each passage.
            await connection.execute("SET LOCAL statement_timeout = 0")
            await look.hold(connection, package)
            told = await look.compare(connection, here, package)
            if told.agreed != agreed:
                raise StartRefused(CHANGED)
            # Before the rows: a file without a row is rubbish that the sweep removes.
            await _keep(here, package, told, everything=True)
            left = await _put(connection, here, package, told)
    except (psycopg.errors.IntegrityError, psycopg.errors.DeadlockDetected):
        raise StartRefused(CHANGED) from None
    # Whoever deleted another document with the same content may have taken its file since.
    await _keep(here, package, told, everything=False)
    async with here.pool.connection() as connection:
        await contents.remove_unused(connection, here.files, sorted(left))
    return told


async def _put(
    connection: Connection, here: Here, package: Package, told: Comparison
) -> frozenset[str]:
    """Write the rows; the contents that nothing may need any more."""
    users, groups = await look.people(connection, package)
    home = await _put_collection(connection, package, told)
    if told.collection.place == "return":
        given, _ = look.grants(package, users, groups)
        rows = [{**row, "collection_id": home} for row, _ in given]
        await _insert(connection, "grants", rows, "ON CONFLICT DO NOTHING")
    changed = {each.id: each for each in told.documents if each.action in ("return", "replace")}
    left = await _take_away(connection, changed.values())
    shifts: dict[str, int] = {}
    for row in package.rows("documents"):
        if row["id"] in changed:
            change = changed[row["id"]]
            made = _document(row, change, users) | {"collection_id": home}
            shifts[change.id] = made["version"] - row["version"]
            await _put_document(connection, here, made, change)
    serving = await look.serving_set(connection)
    number = comparison.serving_of(serving, package.faces("embedding_sets"))
    passages = (
        row
        | {
            "collection_id": home,
            "embedding_set_id": serving["id"],
            "version": row["version"] + shifts[row["document_id"]],
        }
        for row in package.rows("chunks")
        if row["embedding_set_id"] == number and row["document_id"] in changed
    )
    while some := list(islice(passages, ROWS)):
        await _insert(connection, "chunks", some, without=("id",))
    keys = [
        row
        for row in package.rows("upload_keys")
        if row["document_id"] in changed and row["owner_id"] in users
    ]
    await _insert(connection, "upload_keys", keys, "ON CONFLICT DO NOTHING")
    await _tell(connection, told, changed.values())
    return left


async def _put_collection(connection: Connection, package: Package, told: Comparison) -> int:
    if told.collection.place != "return":
        assert told.collection.id is not None
        return told.collection.id
    (row,) = package.rows("collections")
    without = () if told.collection.id is not None else ("id",)
    (made,) = await _insert(connection, "collections", [row], "RETURNING id", without=without)
    return int(made["id"])


async def _take_away(connection: Connection, changes: Iterable[Change]) -> frozenset[str]:
    """Remove what is replaced: other documents of the name, and passages of the same one.

    Jobs that nobody began are removed too; a worker in the middle of one finds its version gone.
    """
    left: set[str] = set()
    for change in changes:
        for each in change.replaced:
            own = each["id"] == change.id
            cursor = await connection.execute(
                "SELECT sha256, served_sha256, job_id FROM documents WHERE id = %s", [each["id"]]
            )
            row = await cursor.fetchone()
            if row is None:
                raise StartRefused(CHANGED)
            left |= {sha256 for sha256 in (row["sha256"], row["served_sha256"]) if sha256}
            await documents.forget_job(connection, row["job_id"])
            statement = (
                "DELETE FROM chunks WHERE document_id = %s"
                if own
                else "DELETE FROM documents WHERE id = %s"
            )
            await connection.execute(statement, [each["id"]])
    return frozenset(left)


def _document(row: Mapping[str, Any], change: Change, users: frozenset[str]) -> dict[str, Any]:
    """The row of a document as it goes in.

    A number of a version is never used twice for one document: a worker that has an upload of
    another content in hand under that number would serve it.
    """
    own = next((each for each in change.replaced if each["id"] == change.id), None)
    served = row["served_version"]
    shift = 0 if own is None else int(own["version"]) + 1 - (served or row["version"])
    made = dict(row) | {
        "version": row["version"] + shift,
        "served_version": None if served is None else served + shift,
        "owner_id": row["owner_id"] if row["owner_id"] in users else None,
        "job_id": None,
        "updated_at": datetime.now(UTC).isoformat(),
    }
    if change.unserved:
        # Nothing is found of it until its passages are made anew.
        made |= dict.fromkeys(("served_version", "served_sha256"))
        made |= dict.fromkeys(("served_filename", "served_media_type")) | {"chunks": 0}
    if not change.again:
        return made
    made |= {"status": "queued", "stage": None, "progress": {}, "error": None}
    if row["status"] not in (*comparison.UNFINISHED, "ready"):
        # Its newest upload had failed: what was found is what comes back.
        made |= {
            "sha256": row["served_sha256"],
            "filename": row["served_filename"],
            "media_type": row["served_media_type"],
        }
    return made


async def _put_document(
    connection: Connection, here: Here, row: dict[str, Any], change: Change
) -> None:
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM documents WHERE owner_id = %s AND idempotency_key = %s"
        " AND id <> %s) AS taken, 'document:' || gen_random_uuid() AS fresh",
        [row["owner_id"], row["idempotency_key"], row["id"]],
    )
    found = await cursor.fetchone()
    if found and found["taken"]:
        row["idempotency_key"] = found["fresh"]
    await _insert(connection, "documents", [row], update=True)
    if change.again:
        job = await defer_ingestion(
            here.queue,
            connection,
            UUID(row["id"]),
            row["version"],
            lane=choose_lane(here.settings, row["bytes"]),
            priority=choose_priority(time.time(), 0),
            request_id=BY,
        )
        await uploading.set_job(connection, UUID(row["id"]), job)


async def _insert(
    connection: Connection,
    table: str,
    rows: Iterable[Mapping[str, Any]],
    after: str = "",
    *,
    without: Sequence[str] = (),
    update: bool = False,
) -> list[dict[str, Any]]:
    """Insert rows of a point; columns that one of both has not are left out."""
    given = list(rows)
    if not given:
        return []
    cursor = await connection.execute(COLUMNS, [table])
    names = [row["name"] for row in await cursor.fetchall()]
    columns = [sql.Identifier(each) for each in names if each in given[0] and each not in without]
    ending: sql.Composable = sql.SQL(after)
    if update:
        settings = (sql.SQL("{0} = EXCLUDED.{0}").format(each) for each in columns)
        ending = sql.SQL("ON CONFLICT (id) DO UPDATE SET {}").format(sql.SQL(", ").join(settings))
    statement = sql.SQL(
        "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns}"
        " FROM jsonb_populate_recordset(NULL::{table}, {rows}) {ending}"
    ).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(columns),
        rows=sql.Placeholder(),
        ending=ending,
    )
    cursor = await connection.execute(statement, [Jsonb(given)])
    return await cursor.fetchall() if cursor.description else []


async def _keep(here: Here, package: Package, told: Comparison, *, everything: bool) -> None:
    """Put the files of what changes into the store: all, or those that are not there."""
    changed = {each.id for each in told.documents if each.action in ("return", "replace", "file")}
    wanted = {
        sha256
        for row in package.rows("documents")
        if row["id"] in changed
        for sha256 in look.contents_of(row)
    }
    for sha256 in sorted(wanted & package.contents):
        # Also one that is there: written anew, the sweep leaves it alone for an hour.
        if everything or not here.files.path(sha256).exists():
            await anyio.to_thread.run_sync(package.keep, here.files, sha256)


async def _tell(connection: Connection, told: Comparison, changes: Iterable[Change]) -> None:
    """Write what is done into the audit log."""
    names = [told.collection.name]
    if told.collection.place == "return":
        await audit.write(
            connection,
            "collection.restore",
            collections=names,
            object=told.collection.name,
            point=told.point,
            by=BY,
        )
    for each in changes:
        await audit.write(
            connection,
            "document.restore",
            collections=names,
            object=each.id,
            replaced=len(each.replaced),
            point=told.point,
            by=BY,
        )
