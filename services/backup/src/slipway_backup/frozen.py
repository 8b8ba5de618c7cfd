"""One exact moment of the database: named in its log, and what it held just then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from slipway_backup import connection, fingerprints, passage
from slipway_backup.errors import Failed
from slipway_backup.fingerprints import Connection, Fingerprint
from slipway_backup.settings import Settings

TRIES = 10
EXTENSIONS = "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY 1"
VECTOR_INDEXES = """
SELECT n.nspname || '.' || c.relname AS name
FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indexrelid = c.oid
WHERE a.amname = 'hnsw' AND i.indisvalid ORDER BY 1
"""


@dataclass(frozen=True)
class Moment:
    """Where the log was, and what the database held."""

    lsn: str
    timeline: int
    segment: str
    fingerprints: dict[str, Fingerprint]
    extensions: dict[str, str]
    indexes: list[str]
    schema: str
    documents: dict[str, str]
    passage: dict[str, Any] | None


def take(settings: Settings, restore_point: str) -> Moment:
    """Write a restore point at a moment when nobody writes, and tell what there was then.

    One session keeps writers out, names the moment and waits until another one has its snapshot,
    which takes milliseconds; everything else is read from that snapshot while they go on.
    """
    with connection.connect(settings, autocommit=False) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.read_only = True
        with connection.connect(settings, autocommit=False) as writer, _nobody_writes(writer):
            row = writer.execute(
                b"SELECT lsn::text AS lsn, pg_walfile_name(lsn - 1) AS segment"
                b" FROM pg_create_restore_point(%s) AS lsn",
                [restore_point],
            ).fetchone()
            assert row is not None
            # A transaction's snapshot is that of its first statement.
            reader.execute(b"SELECT 1")
        return _moment(reader, row["lsn"], row["segment"])


def _moment(reader: Connection, lsn: str, segment: str) -> Moment:
    return Moment(
        lsn=lsn,
        timeline=int(segment[:8], 16),
        segment=segment,
        fingerprints=fingerprints.take(reader),
        extensions=extensions(reader),
        indexes=vector_indexes(reader),
        schema=revision(reader),
        documents=documents(reader),
        passage=passage.choose(reader),
    )


@contextmanager
def _nobody_writes(session: Connection) -> Iterator[None]:
    """Hold all tables against writers; tried again while a long transaction is in the way."""
    for attempt in range(1, TRIES + 1):
        names = [sql.Identifier(*each) for each in fingerprints.tables(session)]
        try:
            if names:
                statement = sql.SQL("LOCK TABLE {} IN SHARE MODE")
                session.execute(statement.format(sql.SQL(", ").join(names)))
            break
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            session.rollback()
            if attempt == TRIES:
                raise Failed(
                    f"a transaction held its tables for all of {TRIES} tries",
                    "look for it: SELECT * FROM pg_stat_activity WHERE state <> 'idle'",
                ) from None
            # Whoever waited behind this attempt goes first.
            time.sleep(0.5 * attempt)
    try:
        yield
    finally:
        session.rollback()


def extensions(session: Connection) -> dict[str, str]:
    """The database's extensions and their versions."""
    return {each["name"]: each["version"] for each in session.execute(EXTENSIONS.encode())}


def vector_indexes(session: Connection) -> list[str]:
    """The HNSW indexes that are in use."""
    return [each["name"] for each in session.execute(VECTOR_INDEXES.encode())]


def revision(session: Connection) -> str:
    """The revision of the schema, or an empty text where there is none."""
    if not _has(session, "public.alembic_version"):
        return ""
    row = session.execute(b"SELECT version_num AS revision FROM public.alembic_version").fetchone()
    return str(row["revision"]) if row else ""


def documents(session: Connection) -> dict[str, str]:
    """The files that documents ask for: by their SHA-256, the document's name."""
    if not _has(session, "public.documents"):
        return {}
    columns = {
        each["name"]
        for each in session.execute(
            b"SELECT attname AS name FROM pg_attribute"
            b" WHERE attrelid = 'public.documents'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    }
    wanted = [name for name in ("sha256", "served_sha256") if name in columns]
    found: dict[str, str] = {}
    for name in wanted:
        query = sql.SQL(
            "SELECT {} AS sha, id::text AS id FROM public.documents WHERE {} IS NOT NULL"
        )
        for each in session.execute(query.format(sql.Identifier(name), sql.Identifier(name))):
            found[each["sha"]] = each["id"]
    return found


def _has(session: Connection, table: str) -> bool:
    row = session.execute(b"SELECT to_regclass(%s) IS NOT NULL AS there", [table]).fetchone()
    return bool(row and row["there"])
