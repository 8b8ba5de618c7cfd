"""What a database holds, exactly: per table a count and two sums that no order changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]

# A row's text depends on these: the same everywhere, or equal rows would differ.
SESSION = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'iso_8601'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
    "SET search_path = pg_catalog",
    # Below deadlock_timeout (1 s): of two that wait for each other, no user is the one to fail.
    "SET lock_timeout = '800ms'",
    "SET statement_timeout = 0",
    "SET jit = off",
)
TABLES = """
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2
"""
SUM = """
SELECT count(*) AS rows,
    mod(coalesce(sum(hashtextextended(t::text, {first})::numeric), 0), 18446744073709551616) AS one,
    mod(coalesce(sum(hashtextextended(t::text, {second})::numeric), 0), 18446744073709551616) AS two
FROM {table} AS t
"""
SEEDS = (0, 7318349394477056)


@dataclass(frozen=True)
class Fingerprint:
    """How many rows a table has, and what they are together."""

    rows: int
    sums: str

    def told(self) -> dict[str, Any]:
        """For a point's JSON."""
        return {"rows": self.rows, "sums": self.sums}


def connect(conninfo: str, **options: Any) -> Connection:
    """A connection whose rows have the same text everywhere."""
    connection = psycopg.connect(conninfo, row_factory=dict_row, **options)
    before, connection.autocommit = connection.autocommit, True
    for statement in SESSION:
        connection.execute(statement.encode())
    connection.autocommit = before
    return connection


def tables(connection: Connection) -> list[tuple[str, str]]:
    """Schema and name of every table that a copy brings back."""
    return [(each["schema"], each["name"]) for each in connection.execute(TABLES.encode())]


def take(connection: Connection) -> dict[str, Fingerprint]:
    """The fingerprint of every table, as this connection's transaction sees them."""
    return {
        f"{schema}.{name}": _of(connection, schema, name) for schema, name in tables(connection)
    }


def _of(connection: Connection, schema: str, name: str) -> Fingerprint:
    query = sql.SQL(SUM).format(
        table=sql.Identifier(schema, name),
        first=sql.Literal(SEEDS[0]),
        second=sql.Literal(SEEDS[1]),
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return Fingerprint(row["rows"], f"{int(row['one']) % 2**64:016x}{int(row['two']) % 2**64:016x}")


def read(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Fingerprint]:
    """The fingerprints in a point's JSON."""
    return {name: Fingerprint(each["rows"], each["sums"]) for name, each in told.items()}


def differences(wanted: Mapping[str, Fingerprint], found: Mapping[str, Fingerprint]) -> list[str]:
    """One sentence for each table that is not as it should be; empty when all agree."""
    lines = []
    for name in sorted({*wanted, *found}):
        before, after = wanted.get(name), found.get(name)
        if before is None:
            lines.append(f"{name} was not there")
        elif after is None:
            lines.append(f"{name} is gone")
        elif before.rows != after.rows:
            lines.append(f"{name} has {after.rows} rows instead of {before.rows}")
        elif before != after:
            lines.append(f"{name} has as many rows, {after.rows}, and other content")
    return lines
