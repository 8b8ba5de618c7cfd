"""Work beside the requests ends when it is told to, whatever it waits for."""

from __future__ import annotations

import asyncio

import pytest
from psycopg_pool import AsyncConnectionPool

from slipway_backend import background
from slipway_backend.settings import Settings

ROUNDS = 5


async def test_work_that_waits_for_a_busy_pool_ends_though_a_cancellation_is_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection comes at the very moment of the cancellation, every time."""
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.1)
    async with AsyncConnectionPool(
        settings.database_url, min_size=1, max_size=1, open=False
    ) as pool:

        async def work() -> None:
            while True:
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
                await asyncio.sleep(0.01)

        for _ in range(ROUNDS):
            held = await pool.getconn()
            task = asyncio.create_task(work())
            await asyncio.sleep(0.002)
            await pool.putconn(held)
            async with asyncio.timeout(30):
                await background.end(task)
            assert task.done()
