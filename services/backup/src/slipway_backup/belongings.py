"""What belongs to one collection or one document: the rows of every table that refers to it.

Which tables these are is read from the foreign keys of the restored database itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from slipway_backup.errors import Failed, Refused
from slipway_backup.fingerprints import Connection

#: What is told of rows that are referred to and are nobody's belongings: enough to know them again.
FACES: Mapping[str, tuple[str, ...]] = {
    "users": ("id", "username"),
    "groups": ("id", "name"),
    "embedding_sets": (
        *("id", "model", "provider", "runtime", "precision", "dimension"),
        *("weights_sha256", "fingerprint"),
    ),
}
ROOTS = ("documents", "collections")
SHOWN = 10
BATCH = 500
KEYS = """
SELECT child.relname AS child, parent.relname AS parent,
    array_agg(child_column.attname::text ORDER BY place) AS child_columns,
    array_agg(parent_column.attname::text ORDER BY place) AS parent_columns
FROM pg_constraint AS key
    JOIN pg_class AS child ON child.oid = key.conrelid
    JOIN pg_class AS parent ON parent.oid = key.confrelid
    CROSS JOIN LATERAL unnest(key.conkey, key.confkey) WITH ORDINALITY AS pair (its, others, place)
    JOIN pg_attribute AS child_column
        ON child_column.attrelid = child.oid AND child_column.attnum = pair.its
    JOIN pg_attribute AS parent_column
        ON parent_column.attrelid = parent.oid AND parent_column.attnum = pair.others
WHERE key.contype = 'f' AND child.relnamespace = 'public'::regnamespace
GROUP BY key.oid, child.relname, parent.relname
ORDER BY child.relname, key.oid
"""
MADE = """
SELECT attname::text AS name FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attgenerated <> '' AND NOT attisdropped
"""


@dataclass(frozen=True)
class Key:
    """A foreign key: which columns of one table name a row of another one."""

    child: str
    parent: str
    child_columns: tuple[str, ...]
    parent_columns: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """A collection by its name, or one document, by its id or by its name in a collection."""

    collection: str = ""
    document: str = ""


@dataclass
class Found:
    """What was wanted, as the restored database has it."""

    collection: dict[str, Any]
    documents: list[str]
    contents: set[str]
    tables: dict[str, int] = field(default_factory=dict)
    faces: dict[str, int] = field(default_factory=dict)
    schema: str = ""


def take(session: Connection, wanted: Wanted, folder: Path) -> Found:
    """Write what belongs to the wanted into `rows` and `faces` of a folder, a row to a line.

    Raises Refused when there is no such thing, or more than one.
    """
    try:
        found = find(session, wanted)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise Failed(f"the point has no collections of documents: {error}") from None
    known = keys(session)
    values = {"collection": found.collection["id"], "documents": found.documents}
    conditions = belonging(known)
    for name, condition in conditions.items():
        query = sql.SQL("SELECT (to_jsonb(t) - {made}::text[])::text AS line FROM {t} AS t WHERE ")
        made = [row["name"] for row in session.execute(MADE.encode(), [f"public.{name}"])]
        select = query.format(made=sql.Literal(made), t=_table(name)) + condition
        found.tables[name] = _write(session, select, values, folder / "rows" / f"{name}.jsonl")
    for name, condition in faces(known, conditions).items():
        columns = FACES[name]
        pairs = sql.SQL(", ").join(
            sql.SQL("{}, {}").format(sql.Literal(each), sql.Identifier(each)) for each in columns
        )
        query = sql.SQL("SELECT jsonb_build_object({pairs})::text AS line FROM {t} WHERE ")
        select = query.format(pairs=pairs, t=_table(name)) + condition
        found.faces[name] = _write(session, select, values, folder / "faces" / f"{name}.jsonl")
    row = session.execute(b"SELECT version_num FROM public.alembic_version").fetchone()
    found.schema = str(row["version_num"]) if row else ""
    return found


def find(session: Connection, wanted: Wanted) -> Found:
    """The collection and the documents that are wanted. Raises Refused."""
    if not wanted.document:
        collection = _collection(session, wanted.collection)
        rows = session.execute(
            b"SELECT id, sha256, served_sha256 FROM public.documents WHERE collection_id = %s"
            b" ORDER BY id",
            [collection["id"]],
        ).fetchall()
    else:
        row = _document(session, wanted)
        rows = [row]
        collection = _one(
            session,
            "SELECT id, name FROM public.collections WHERE id = %s",
            [row["collection_id"]],
        )
    contents = {row[name] for row in rows for name in ("sha256", "served_sha256") if row[name]}
    return Found(collection, [str(row["id"]) for row in rows], contents)


def keys(session: Connection) -> list[Key]:
    """Every foreign key of the application's tables."""
    return [
        Key(
            row["child"],
            row["parent"],
            tuple(row["child_columns"]),
            tuple(row["parent_columns"]),
        )
        for row in session.execute(KEYS.encode())
    ]


def belonging(known: Sequence[Key]) -> dict[str, sql.Composable]:
    """Each table with rows of the wanted, and the condition that chooses them.

    The parameters are `collection` and `documents`.
    """
    found: dict[str, sql.Composable] = {
        "documents": sql.SQL("id = ANY (%(documents)s::uuid[])"),
        "collections": sql.SQL("id = %(collection)s"),
    }
    waiting = list(ROOTS)
    while waiting:
        parent = waiting.pop(0)
        for key in known:
            if key.parent == parent and key.child not in found:
                found[key.child] = _in(key.child_columns, key.parent_columns, parent, found[parent])
                waiting.append(key.child)
    return found


def faces(
    known: Sequence[Key], conditions: Mapping[str, sql.Composable]
) -> dict[str, sql.Composable]:
    """Each table whose rows are referred to without belonging, with the condition for them.

    Raises Failed for one of which it is not known what may be told.
    """
    found: dict[str, list[sql.Composable]] = {}
    for key in known:
        if key.child in conditions and key.parent not in conditions:
            if key.parent not in FACES:
                raise Failed(f"it is not known what to tell of {key.parent}, which {key.child} has")
            found.setdefault(key.parent, []).append(
                _in(key.parent_columns, key.child_columns, key.child, conditions[key.child])
            )
    return {name: sql.SQL(" OR ").join(each) for name, each in found.items()}


def _in(
    columns: Sequence[str], others: Sequence[str], table: str, condition: sql.Composable
) -> sql.Composable:
    return sql.SQL("({columns}) IN (SELECT {others} FROM {table} WHERE {condition})").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        others=sql.SQL(", ").join(map(sql.Identifier, others)),
        table=_table(table),
        condition=condition,
    )


def _collection(session: Connection, name: str) -> dict[str, Any]:
    with contextlib.suppress(LookupError):
        return _one(session, "SELECT id, name FROM public.collections WHERE name = %s", [name])
    rows = session.execute(b"SELECT name FROM public.collections ORDER BY name").fetchall()
    raise Refused(
        f"there was no collection {name!r} then; there were: "
        f"{', '.join(str(row['name']) for row in rows[:SHOWN]) or 'none'}",
        "name one of them, or another point",
    )


def _document(session: Connection, wanted: Wanted) -> dict[str, Any]:
    select = (
        "SELECT id, collection_id, coalesce(source, filename) AS name, sha256, served_sha256"
        " FROM public.documents WHERE "
    )
    collection = _collection(session, wanted.collection) if wanted.collection else None
    place = f" in {wanted.collection}" if collection else ""
    number = _number(wanted.document)
    if number is None and collection is None:
        raise Refused(
            f"{wanted.document!r} is no id of a document", "say in which --collection its name is"
        )
    found: list[dict[str, Any]] = []
    if number is not None:
        found = session.execute(f"{select}id = %s".encode(), [number]).fetchall()
        found = [row for row in found if not collection or row["collection_id"] == collection["id"]]
    if not found and collection is not None:
        for column in ("source", "filename"):
            query = f"{select}collection_id = %s AND {column} = %s ORDER BY created_at DESC"
            parameters = [collection["id"], wanted.document]
            found = found or session.execute(query.encode(), parameters).fetchall()
    if not found:
        raise Refused(
            f"there was no document {wanted.document!r}{place} then",
            "name another point, or look for its name with --collection alone and --plan",
        )
    if len(found) > 1:
        named = "; ".join(f"{row['id']} ({row['name']})" for row in found[:SHOWN])
        raise Refused(
            f"{len(found)} documents{place} have the file name {wanted.document!r}: {named}",
            "say --document with the id of one",
        )
    return found[0]


def _number(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _one(session: Connection, query: str, parameters: Sequence[Any]) -> dict[str, Any]:
    row = session.execute(query.encode(), parameters).fetchone()
    if row is None:
        raise LookupError(query)
    return row


def _table(name: str) -> sql.Identifier:
    return sql.Identifier("public", name)


def _write(session: Connection, query: sql.Composed, values: Mapping[str, Any], path: Path) -> int:
    """Write a query's lines into a new file; how many there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    # Chosen rows may be more than memory holds.
    with (
        path.open("w", encoding="utf-8") as out,
        session.transaction(),
        session.cursor(name="lines") as cursor,
    ):
        cursor.itersize = BATCH
        for row in cursor.execute(query, values):
            out.write(f"{row['line']}\n")
            count += 1
    return count
