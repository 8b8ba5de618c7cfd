"""The audit log: who did what, and never what was asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from slipway_backend import audit, sweep
from slipway_backend.api.app import make_app
from slipway_backend.settings import Settings

PASSWORD = "an admin password for tests"


async def entries(instance: Any, **filters: Any) -> list[dict[str, Any]]:
    await instance.state.audit.flush()
    response = await instance.client.get("/v1/audit", params=filters)
    response.raise_for_status()
    return list(response.json()["entries"])


async def test_reads_and_writes_are_logged_with_who_what_and_outcome(instance: Any) -> None:
    client = instance.client
    document = (await instance.upload("a.md", b"# A\n\nwords\n")).json()
    await client.get(f"/v1/documents/{document['id']}", headers={"x-request-id": "look-for-me"})
    await client.post("/v1/search", json={"query": "a confidential question"})
    await client.get("/v1/documents/00000000-0000-0000-0000-000000000000")
    found = await entries(instance)
    assert {entry["username"] for entry in found} == {"admin"}
    told = {(entry["action"], entry["outcome"]) for entry in found}
    assert told >= {
        ("login", "ok"),
        ("document.create", "ok"),
        ("document.read", "ok"),
        ("document.read", "refused"),
        ("search", "ok"),
    }
    assert "confidential" not in str(found)
    (read,) = [each for each in found if each["request_id"] == "look-for-me"]
    assert (read["object"], read["address"]) == (document["id"], "127.0.0.1")


async def test_every_entry_about_a_document_or_collection_names_the_collection(
    instance: Any,
) -> None:
    client = instance.client
    document = (await instance.upload("ferry.md", b"# Ferry\n\nIt leaves at seven.\n")).json()
    await instance.work()
    path = f"/v1/documents/{document['id']}"
    for asked in (path, f"{path}/file", f"{path}/passages", "/v1/collections/default/export"):
        assert (await client.get(asked)).status_code == 200
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete("/v1/collections/default")).status_code == 409
    found = await entries(instance, collection="default")
    assert {(each["action"], each["outcome"]) for each in found} == {
        ("collection.delete", "refused"),
        ("document.delete", "ok"),
        ("export.read", "ok"),
        ("passage.list", "ok"),
        ("file.read", "ok"),
        ("document.read", "ok"),
        ("document.create", "ok"),
    }


async def test_entries_are_found_by_kind_person_and_outcome_page_by_page(instance: Any) -> None:
    for number in range(5):
        await instance.client.get(f"/v1/documents?offset={number}")
    await instance.client.post("/v1/groups", json={"name": "crew"})
    assert len(await entries(instance, action="document")) == 5
    assert len(await entries(instance, action="group.create")) == 1
    assert await entries(instance, username="nobody") == []
    assert await entries(instance, outcome="refused") == []
    assert await entries(instance, until="2020-01-01T00:00:00Z") == []
    pages, before = [], None
    while True:
        params = {"limit": 2, "action": "document"} | ({"before": before} if before else {})
        page = (await instance.client.get("/v1/audit", params=params)).json()
        pages += page["entries"]
        before = page["before"]
        if before is None:
            break
    assert len({entry["id"] for entry in pages}) == 5


async def test_a_wrong_password_is_logged_without_what_was_typed(instance: Any) -> None:
    await instance.client.post("/v1/login", json={"username": "MyPassw0rd!", "password": "oops"})
    (refused,) = await entries(instance, outcome="refused")
    assert (refused["action"], refused["username"]) == ("login", None)
    assert "MyPassw0rd" not in str(refused)


async def test_a_change_that_is_undone_is_not_logged_as_done(instance: Any) -> None:
    async with instance.state.pool.connection() as connection:
        with contextlib.suppress(ZeroDivisionError):
            async with connection.transaction():
                await audit.write(connection, "group.create")
                raise ZeroDivisionError
    assert await entries(instance, action="group") == []
    own = (await instance.client.get("/v1/me")).json()["id"]
    assert (await instance.client.delete(f"/v1/users/{own}")).status_code == 409
    (refused,) = await entries(instance, action="user")
    assert (refused["action"], refused["outcome"]) == ("user.delete", "refused")


@pytest.mark.parametrize(
    ("level", "logged"),
    [("off", set()), ("writes", {"login", "group.create"})],
)
async def test_the_level_says_what_is_logged(
    make_instance: Any, settings: Settings, level: str, logged: set[str]
) -> None:
    instance = make_instance()
    await instance.start(settings.model_copy(update={"audit": level}))
    await instance.client.post("/v1/groups", json={"name": "crew"})
    await instance.client.get("/v1/documents")
    assert {entry["action"] for entry in await entries(instance)} == logged


async def test_what_waits_is_written_when_the_process_stops(
    make_instance: Any, settings: Settings, embedder: Any
) -> None:
    from slipway_backend.api.app import started

    first = make_instance()
    await first.start(settings)
    async with started(settings, load=lambda _: embedder) as state:
        trail = audit.Trail(action="search", identity=None)
        state.audit.add(trail, "ok")
    assert len(await entries(first, action="search")) == 1


async def test_nothing_is_answered_that_can_no_more_be_logged(instance: Any) -> None:
    log = audit.AuditLog(instance.state.pool, "all", buffered=1)
    log.add(audit.Trail(action="search"), "ok")
    object.__setattr__(instance.state, "audit", log)
    response = await instance.client.get("/v1/documents")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    await log.flush()
    assert (await instance.client.get("/v1/documents")).status_code == 200


async def test_an_entry_is_written_once_however_many_write_at_the_same_time(
    instance: Any,
) -> None:
    log = audit.AuditLog(instance.state.pool, "all")
    for number in range(20):
        log.add(audit.Trail(action=f"search.{number}"), "ok")
    await asyncio.gather(*(log.flush() for _ in range(4)))
    found = await entries(instance, action="search")
    assert sorted(each["action"] for each in found) == sorted(f"search.{n}" for n in range(20))


async def test_old_entries_sessions_and_failures_are_forgotten_by_the_sweep(instance: Any) -> None:
    await instance.client.get("/v1/documents")
    await instance.client.post("/v1/login", json={"username": "x", "password": "y"})
    await instance.state.audit.flush()
    async with instance.state.pool.connection() as connection:
        for statement in (
            "UPDATE audit SET at = at - interval '91 days' WHERE action <> 'login'",
            "UPDATE login_failures SET failed_at = failed_at - interval '2 minutes'",
            "INSERT INTO sessions (user_id, refresh_nonce, refresh_sha256, expires_at)"
            " SELECT id, '', '', now() - interval '2 days' FROM users",
        ):
            await connection.execute(statement)
        await sweep.forget(instance.state.pool, audit_days=90)
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM audit WHERE action <> 'login') AS audit,"
            " (SELECT count(*) FROM sessions) AS sessions,"
            " (SELECT count(*) FROM login_failures) AS failures"
        )
        assert await cursor.fetchone() == {"audit": 0, "sessions": 1, "failures": 0}
    assert (await instance.client.get("/v1/me")).status_code == 200


async def test_all_that_is_past_its_time_goes_at_once_however_much_it_is(instance: Any) -> None:
    async with instance.state.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO audit (at, action, outcome)"
            " SELECT now() - make_interval(days => days), 'search', 'ok'"
            " FROM generate_series(1, 60), unnest(ARRAY[80, 91, 100]) AS days"
        )
        assert await audit.forget_before(connection, days=90, batch=50) == 120
        assert await audit.forget_before(connection, days=90, batch=50) == 0
    assert len(await entries(instance, action="search")) == 60


async def test_the_entries_of_one_person_are_found_by_an_index(instance: Any) -> None:
    async with instance.state.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO audit (username, action, outcome)"
            " SELECT 'busy', 'search', 'ok' FROM generate_series(1, 5000)"
        )
        await connection.execute("ANALYZE audit")
        for asked in ({"username": "rare"}, {"username": "rare", "before": 4000}):
            cursor = await connection.execute(
                b"EXPLAIN " + audit.newest_statement(*asked), {**asked, "limit": 100}
            )
            plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())
            assert "audit_username" in plan
            assert "Filter" not in plan
            assert "Sort" not in plan


async def test_an_app_on_the_same_state_logs_a_stranger_nowhere(instance: Any) -> None:
    del instance.client.headers["Authorization"]
    await instance.client.get("/v1/documents")
    await instance.client.get("/health/live")
    assert make_app(instance.state)
    instance.client.headers["Authorization"] = f"Bearer {await instance.login()}"
    assert {entry["action"] for entry in await entries(instance)} == {"login"}
