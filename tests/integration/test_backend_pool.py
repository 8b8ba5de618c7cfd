"""A pool keeps no connection to a server that has moved on."""

from __future__ import annotations

import psycopg
import pytest

from slipway_backend.database import Pool, make_pool


async def server_process(pool: Pool) -> int:
    async with pool.connection() as connection:
        return connection.info.backend_pid


async def fail_with(pool: Pool, code: str) -> None:
    """Use a connection whose server answers with an error of this SQLSTATE."""
    async with pool.connection() as connection:
        await connection.execute(f"DO $$BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END$$")


@pytest.mark.parametrize("code", ["25006", "57P01", "57P03", "08006", "08P01"])
async def test_a_connection_is_discarded_when_its_server_says_that_it_moved_on(
    postgres: str, code: str
) -> None:
    async with make_pool(postgres, size=1) as pool:
        before = await server_process(pool)
        with pytest.raises(psycopg.Error) as raised:
            await fail_with(pool, code)
        assert raised.value.sqlstate == code
        assert await server_process(pool) != before


@pytest.mark.parametrize("code", ["22012", "23505", "40001"])
async def test_a_connection_is_kept_after_any_other_error(postgres: str, code: str) -> None:
    async with make_pool(postgres, size=1) as pool:
        before = await server_process(pool)
        with pytest.raises(psycopg.Error):
            await fail_with(pool, code)
        assert await server_process(pool) == before


async def test_the_first_write_after_a_demotion_fails_and_the_next_is_on_another_connection(
    postgres: str,
) -> None:
    async with make_pool(postgres, size=1) as pool:
        async with pool.connection() as connection:
            # Checked a moment ago, and since then demoted.
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with pool.connection() as connection:
                await connection.execute("CREATE TABLE never (x int)")
        async with pool.connection() as connection:
            await connection.execute("CREATE TEMPORARY TABLE written (x int)")
