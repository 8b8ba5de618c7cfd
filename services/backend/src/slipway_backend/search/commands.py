"""`slipway-backend index check`: the vector index compared with exact search."""

from __future__ import annotations

import asyncio
import sys

from slipway_backend.database import Connection, check_schema, make_pool
from slipway_backend.search.index_health import measure_recall, rebuild_index
from slipway_backend.settings import Settings

SERVING = "SELECT id, dimension FROM embedding_sets WHERE state = 'serving'"


def run_index_check(settings: Settings, *, repair: bool) -> int:
    """Print the recall of the serving set's index; exit code 1 when it is too low and stays so."""
    return asyncio.run(_run(settings, repair=repair))


async def _run(settings: Settings, *, repair: bool) -> int:
    async with make_pool(settings.require_database(), size=1, timeout=10.0) as pool:
        await check_schema(pool)
        async with pool.connection() as connection:
            return await _check(connection, repair=repair)


async def _check(connection: Connection, *, repair: bool) -> int:
    cursor = await connection.execute(SERVING)
    row = await cursor.fetchone()
    if row is None:
        sys.stdout.write("No embedding set is served yet: there is no index to check.\n")
        return 0
    health = await measure_recall(connection, row["id"], row["dimension"])
    said = f"set {row['id']}: recall@10 {health.recall:.3f} over {health.samples} sampled passages"
    sys.stdout.write(f"{said}\n")
    if health.healthy and not repair:
        return 0
    if not repair:
        sys.stdout.write("That is too low: run `slipway-backend index check --repair`.\n")
        return 1
    sys.stdout.write("Making the index anew; searches go on meanwhile.\n")
    sys.stdout.flush()
    await rebuild_index(connection, row["id"])
    health = await measure_recall(connection, row["id"], row["dimension"])
    sys.stdout.write(f"set {row['id']}: recall@10 {health.recall:.3f} now\n")
    return 0 if health.healthy else 1
