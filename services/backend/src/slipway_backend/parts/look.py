"""What is here beside a part of a point: looked at, and held for as long as that matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import procrastinate
from alembic.config import Config
from alembic.script import ScriptDirectory

from slipway_backend.database import Connection, Pool
from slipway_backend.errors import StartRefused
from slipway_backend.files import FileStore
from slipway_backend.parts import comparison
from slipway_backend.parts.comparison import Change, Comparison, There
from slipway_backend.parts.package import Package
from slipway_backend.schema import MIGRATIONS
from slipway_backend.settings import Settings

THERE = """
SELECT to_jsonb(documents) AS row, (
    SELECT count(*) FROM chunks WHERE document_id = documents.id AND embedding_set_id = %(set)s
        AND version = served_version
) AS stored
FROM documents WHERE id = ANY (%(ids)s::uuid[])
    OR (collection_id = %(collection)s AND source = ANY (%(sources)s::text[]))
ORDER BY id
"""
HOLD = """
SELECT FROM documents WHERE id = ANY (%(ids)s::uuid[])
    OR (collection_id = %(collection)s AND source = ANY (%(sources)s::text[]))
ORDER BY id FOR UPDATE
"""


@dataclass(frozen=True)
class Here:
    """What is here: the pool, the queue, the file store, and the settings of this service."""

    settings: Settings
    pool: Pool
    queue: procrastinate.App
    files: FileStore


async def compare(connection: Connection, here: Here, package: Package) -> Comparison:
    """What putting the part back would change, as this transaction sees it."""
    (wanted,) = package.rows("collections")
    there = await _rows(connection, "SELECT to_jsonb(c) FROM collections c")
    home = comparison.place(wanted, there)
    chosen = list(package.rows("documents"))
    changes = await _changes(connection, here, package, chosen, home.id)
    users, groups = await people(connection, package)
    gone = {row["id"] for row in package.faces("users")} - users
    given, refused = grants(package, users, groups) if home.place == "return" else ([], [])
    later = 0
    if package.head["document"] is None:
        replaced = {each["id"] for every in changes for each in every.replaced}
        later = await _count(connection, home.id, [row["id"] for row in chosen] + sorted(replaced))
    return Comparison(
        home,
        tuple(changes),
        later,
        tuple(said for _, said in given),
        tuple(refused),
        sum(row["owner_id"] in gone for row in chosen),
        str(package.head["point"]),
        str(package.head["reached"]),
    )


async def _changes(
    connection: Connection,
    here: Here,
    package: Package,
    chosen: Sequence[Mapping[str, Any]],
    home: int | None,
) -> list[Change]:
    serving = await serving_set(connection)
    number = comparison.serving_of(serving, package.faces("embedding_sets"))
    vectors = {
        row["document_id"] for row in package.rows("chunks") if row["embedding_set_id"] == number
    }
    there = await _there(connection, chosen, home, int(serving["id"]))
    named = {
        each.row["source"]: each
        for each in there.values()
        if each.row["collection_id"] == home and each.row["source"] is not None
    }
    changes = []
    for row in chosen:
        own, other = there.get(row["id"]), named.get(row["source"])
        # What was served then may be superseded since, and its file gone for good.
        same = own is not None and comparison.is_same(row, own.row)
        files = contents_of(own.row if own is not None and same else row)
        changes.append(
            comparison.change(
                row,
                own,
                other if other is not None and other.id != row["id"] else None,
                embedded=not row["chunks"] or row["served_version"] is None or row["id"] in vectors,
                filed=all(here.files.path(each).exists() for each in files),
                file_given=files <= package.contents,
            )
        )
    return changes


async def _there(
    connection: Connection, wanted: Sequence[Mapping[str, Any]], home: int | None, serving: int
) -> dict[str, There]:
    cursor = await connection.execute(THERE, {**_places(wanted, home), "set": serving})
    return {
        each["row"]["id"]: There(
            each["row"],
            each["row"]["collection_id"] == home
            and (each["row"]["served_version"] is None or each["stored"] == each["row"]["chunks"]),
        )
        for each in await cursor.fetchall()
    }


def _places(wanted: Sequence[Mapping[str, Any]], home: int | None) -> dict[str, Any]:
    return {
        "ids": [row["id"] for row in wanted],
        "collection": home,
        "sources": [row["source"] for row in wanted if row["source"] is not None],
    }


async def serving_set(connection: Connection) -> dict[str, Any]:
    """The embedding set that is served, which stays so until the transaction ends."""
    cursor = await connection.execute(
        "SELECT id, model, provider, dimension, fingerprint FROM embedding_sets"
        " WHERE state = 'serving' FOR SHARE"
    )
    row = await cursor.fetchone()
    if row is None:
        raise StartRefused("This database serves no embedding set yet: start a backend first.")
    return row


async def people(connection: Connection, package: Package) -> tuple[frozenset[str], frozenset[str]]:
    """The users and the groups that the part names and that are still there."""
    found = []
    for table in ("users", "groups"):
        named = [row["id"] for row in package.faces(table)]
        rows = await _rows(
            connection,
            f"SELECT to_jsonb(id) FROM {table} WHERE id = ANY (%s::uuid[])",  # nosec B608
            [named],
        )
        found.append(frozenset(map(str, rows)))
    return found[0], found[1]


def grants(
    package: Package, users: frozenset[str], groups: frozenset[str]
) -> tuple[list[tuple[dict[str, Any], str]], list[str]]:
    """The grants that can be given again, each in words, and the words of the others."""
    names = {row["id"]: row["username"] for row in package.faces("users")}
    names |= {row["id"]: f"group {row['name']}" for row in package.faces("groups")}
    given, refused = [], []
    for row in package.rows("grants"):
        whose = row["user_id"] or row["group_id"]
        said = f"{names[whose]} may {row['access']}"
        if whose in users | groups:
            given.append((row, said))
        else:
            refused.append(said)
    return given, refused


async def _count(connection: Connection, home: int | None, without: Sequence[str]) -> int:
    (found,) = await _rows(
        connection,
        "SELECT to_jsonb(count(*)) FROM documents WHERE collection_id = %s"
        " AND id <> ALL (%s::uuid[])",
        [home, list(without)],
    )
    return int(found)


def contents_of(row: Mapping[str, Any]) -> frozenset[str]:
    """The SHA-256 of a document's files: of its newest upload, and of what is served."""
    return frozenset(row[name] for name in ("sha256", "served_sha256") if row[name])


async def _rows(connection: Connection, query: str, values: Sequence[Any] = ()) -> list[Any]:
    """The first column of every row."""
    cursor = await connection.execute(query.encode(), values)
    return [next(iter(row.values())) for row in await cursor.fetchall()]


def require_schema(revision: str) -> None:
    """Raise StartRefused for a point of a schema that this release does not know."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known:
        raise StartRefused(
            f"The point is of schema {revision}, which this release does not know: release the "
            "version that it was taken with, or a later one, first."
        )


async def hold(connection: Connection, package: Package) -> None:
    """Keep what is about to be compared as it is until the transaction ends."""
    (wanted,) = package.rows("collections")
    cursor = await connection.execute(
        "SELECT to_jsonb(c) AS row FROM collections c WHERE id = %s OR name = %s FOR KEY SHARE",
        [wanted["id"], wanted["name"]],
    )
    there = [each["row"] for each in await cursor.fetchall()]
    home = comparison.place(wanted, there).id
    await connection.execute(HOLD, _places(list(package.rows("documents")), home))
