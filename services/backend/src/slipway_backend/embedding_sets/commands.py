"""`slipway-backend embeddings ...`: what an operator asks and orders about embedding sets."""

from __future__ import annotations

import argparse
import asyncio
import sys

from slipway_backend.database import Pool, check_schema, make_pool
from slipway_backend.embedding_sets import progress
from slipway_backend.settings import Settings


def run(settings: Settings, chosen: argparse.Namespace) -> int:
    """Run the chosen command; return the exit code."""
    return asyncio.run(_run(settings, chosen))


async def _run(settings: Settings, chosen: argparse.Namespace) -> int:  # noqa: ARG001
    async with make_pool(settings.require_database(), size=2, timeout=10.0) as pool:
        await check_schema(pool)
        return await _list(pool)


async def _list(pool: Pool) -> int:
    async with pool.connection() as connection:
        for line in await progress.describe(connection):
            sys.stdout.write(f"{line}\n")
    return 0
