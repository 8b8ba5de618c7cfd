"""Users, groups, grants, sessions and API keys: who gets in, and until when."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from slipway_backend.api.app import make_app
from slipway_backend.migrate import migrate
from slipway_backend.settings import Settings

LONG = "a long enough pass phrase"


class People:
    """Makes users and clients of an instance."""

    def __init__(self, instance: Any) -> None:
        self.admin: httpx.AsyncClient = instance.client
        self._app = make_app(instance.state)

    def client(self, token: str, address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://slipway", headers=headers)

    async def make(self, name: str, role: str = "reader") -> dict[str, Any]:
        response = await self.admin.post(
            "/v1/users", json={"username": name, "password": LONG, "role": role}
        )
        assert response.status_code == 201, response.text
        return dict(response.json())

    async def login(
        self, name: str, password: str = LONG, address: str = "127.0.0.1"
    ) -> httpx.Response:
        async with self.client("", address) as client:
            return await client.post("/v1/login", json={"username": name, "password": password})

    async def enter(self, name: str, role: str = "reader") -> tuple[dict[str, Any], Any]:
        user = await self.make(name, role)
        token = (await self.login(name)).json()
        return user, self.client(token["access_token"])


@pytest.fixture
def people(instance: Any) -> People:
    return People(instance)


async def collection(instance: Any, name: str) -> None:
    async with instance.state.pool.connection() as connection:
        await connection.execute("INSERT INTO collections (name) VALUES (%s)", [name])


async def test_a_user_logs_in_and_sees_what_was_granted_to_them_or_their_group(
    instance: Any, people: People
) -> None:
    await collection(instance, "red")
    await collection(instance, "blue")
    user, client = await people.enter("ada", "editor")
    group = (await people.admin.post("/v1/groups", json={"name": "crew"})).json()
    members = f"/v1/groups/{group['id']}/members"
    assert (await people.admin.put(f"{members}/{user['id']}")).status_code == 204
    for name, body in (
        ("red", {"user_id": user["id"], "access": "read"}),
        ("blue", {"group_id": group["id"], "access": "write"}),
    ):
        granted = await people.admin.put(f"/v1/collections/{name}/grants", json=body)
        assert granted.status_code == 200, granted.text
    me = (await client.get("/v1/me")).json()
    assert (me["username"], me["role"], me["scopes"]) == ("ada", "editor", ["read", "write"])
    assert (me["readable"], me["writable"]) == (["blue", "red"], ["blue"])
    assert (await people.admin.get(members)).json()["members"][0]["username"] == "ada"
    await people.admin.delete(f"{members}/{user['id']}")
    assert (await client.get("/v1/me")).json()["readable"] == ["red"]
    grants = (await people.admin.get("/v1/collections/red/grants")).json()["grants"]
    assert [grant["username"] for grant in grants] == ["ada"]
    taken = await people.admin.delete(f"/v1/collections/red/grants/{grants[0]['id']}")
    assert taken.status_code == 204
    assert (await client.get("/v1/me")).json()["readable"] == []


async def test_a_reader_writes_nowhere_whatever_is_granted(instance: Any, people: People) -> None:
    user, client = await people.enter("bob")
    await people.admin.put(
        "/v1/collections/default/grants", json={"user_id": user["id"], "access": "write"}
    )
    me = (await client.get("/v1/me")).json()
    assert (me["readable"], me["writable"]) == (["default"], [])


async def test_who_may_read_only_queues_no_failed_document_again(
    instance: Any, people: People
) -> None:
    await collection(instance, "red")
    user, client = await people.enter("ada", "editor")
    grants = "/v1/collections/red/grants"
    await people.admin.put(grants, json={"user_id": user["id"], "access": "write"})

    async def upload() -> dict[str, Any]:
        file = {"file": ("notes.docx", b"only text")}
        repeated = {"Idempotency-Key": "the same"}
        path = "/v1/documents?collection=red"
        return dict((await client.post(path, files=file, headers=repeated)).json())

    await upload()
    await instance.work()
    await people.admin.put(grants, json={"user_id": user["id"], "access": "read"})
    assert (await upload())["status"] == "failed"
    await people.admin.put(grants, json={"user_id": user["id"], "access": "write"})
    assert (await upload())["status"] == "queued"


async def test_sending_the_same_again_changes_nothing(people: People) -> None:
    body = {"username": "ada", "password": LONG, "role": "editor"}
    first = await people.admin.post("/v1/users", json=body)
    again = await people.admin.post("/v1/users", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = await people.admin.post("/v1/users", json={**body, "role": "admin"})
    assert other.status_code == 409
    groups = [await people.admin.post("/v1/groups", json={"name": "crew"}) for _ in range(2)]
    assert [group.status_code for group in groups] == [201, 200]


@pytest.mark.parametrize("password", ["short", "password1234", "admiral-ada-1"])
async def test_a_weak_password_is_refused_with_its_fault(people: People, password: str) -> None:
    body = {"username": "admiral-ada", "password": password}
    response = await people.admin.post("/v1/users", json=body)
    assert (response.status_code, response.json()["title"]) == (422, "Password refused")


async def test_a_new_password_ends_the_other_sessions_and_the_old_password(people: People) -> None:
    _, client = await people.enter("ada")
    other = people.client((await people.login("ada")).json()["access_token"])
    change = {"current_password": LONG, "new_password": "another long pass phrase"}
    wrong = await client.put("/v1/me/password", json={**change, "current_password": "no"})
    assert (wrong.status_code, wrong.json()["title"]) == (403, "Wrong password")
    assert (await client.put("/v1/me/password", json=change)).status_code == 204
    assert (await client.get("/v1/me")).status_code == 200
    assert (await other.get("/v1/me")).status_code == 401
    assert (await people.login("ada")).status_code == 401
    assert (await people.login("ada", "another long pass phrase")).status_code == 200


async def test_the_password_that_releases_use_is_changed_in_the_settings_only(
    people: People,
) -> None:
    change = {"current_password": "an admin password for tests", "new_password": LONG}
    response = await people.admin.put("/v1/me/password", json=change)
    assert response.status_code == 409
    assert "ADMIN_PASSWORD" in response.json()["detail"]


async def test_another_admin_password_in_the_settings_ends_the_sessions_of_the_old_one(
    instance: Any, people: People, settings: Settings
) -> None:
    await asyncio.to_thread(migrate, settings)
    assert (await people.admin.get("/v1/me")).status_code == 200
    other = settings.model_copy(update={"admin_password": LONG})
    await asyncio.to_thread(migrate, other)
    assert (await people.admin.get("/v1/me")).status_code == 401
    assert (await people.login("admin", LONG)).status_code == 200


async def test_disabling_a_user_ends_sessions_and_keys_at_once(people: People) -> None:
    user, client = await people.enter("ada", "editor")
    made = (await client.post("/v1/keys", json={"name": "script"})).json()
    program = people.client(made["key"])
    assert (await program.get("/v1/me")).status_code == 200
    path = f"/v1/users/{user['id']}"
    assert (await people.admin.patch(path, json={"disabled": True})).json()["disabled"] is True
    for each in (client, program):
        refused = await each.get("/v1/me")
        assert refused.status_code == 401
        assert "disabled" in refused.json()["detail"]
    assert (await people.login("ada")).status_code == 401
    await people.admin.patch(path, json={"disabled": False})
    assert (await client.get("/v1/me")).status_code == 401, "ended sessions stay ended"
    assert (await program.get("/v1/me")).status_code == 200


async def test_a_deleted_user_is_gone_and_their_documents_stay(
    instance: Any, people: People
) -> None:
    user, client = await people.enter("ada", "editor")
    await people.admin.put(
        "/v1/collections/default/grants", json={"user_id": user["id"], "access": "write"}
    )
    upload = await client.post("/v1/documents", files={"file": ("a.md", b"# Ada\n\nwas here")})
    assert upload.status_code == 202
    assert (await people.admin.delete(f"/v1/users/{user['id']}")).status_code == 204
    assert (await client.get("/v1/me")).status_code == 401
    assert (await instance.document(upload.json()["id"]))["filename"] == "a.md"


async def test_the_last_administrator_can_neither_go_nor_be_locked_out(
    instance: Any, people: People
) -> None:
    own = (await people.admin.get("/v1/me")).json()["id"]
    second = await people.make("second", "admin")
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE users SET disabled_at = now() WHERE id = %s", [own])
    last = people.client((await people.login("second")).json()["access_token"])
    path = f"/v1/users/{second['id']}"
    for response in (
        await last.patch(path, json={"disabled": True}),
        await last.patch(path, json={"role": "editor"}),
        await last.delete(path),
    ):
        assert (response.status_code, response.json()["title"]) == (409, "Last administrator")
    assert (await last.get(path)).json() | {"updated_at": ""} == second | {"updated_at": ""}


async def test_two_administrators_who_remove_each_other_leave_one(
    instance: Any, people: People
) -> None:
    own = (await people.admin.get("/v1/me")).json()["id"]
    first, second = await people.make("first", "admin"), await people.make("second", "admin")
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE users SET role = 'reader' WHERE id = %s", [own])
    one = people.client((await people.login("first")).json()["access_token"])
    two = people.client((await people.login("second")).json()["access_token"])
    answers = await asyncio.gather(
        one.delete(f"/v1/users/{second['id']}"), two.delete(f"/v1/users/{first['id']}")
    )
    assert 204 in {answer.status_code for answer in answers}
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS n FROM users WHERE role = 'admin'")
        assert await cursor.fetchone() == {"n": 1}


async def test_a_session_goes_on_by_refreshing_and_ends_by_logging_out(people: People) -> None:
    await people.make("ada")
    first = (await people.login("ada")).json()
    client = people.client(first["access_token"])
    second = (
        await client.post("/v1/refresh", json={"refresh_token": first["refresh_token"]})
    ).json()
    assert second["refresh_token"] != first["refresh_token"]
    renewed = people.client(second["access_token"])
    assert (await renewed.get("/v1/me")).status_code == 200
    assert (await renewed.post("/v1/logout")).status_code == 204
    for each in (client, renewed):
        assert (await each.get("/v1/me")).status_code == 401
    over = await client.post("/v1/refresh", json={"refresh_token": second["refresh_token"]})
    assert over.status_code == 401


async def test_a_refresh_that_is_sent_again_at_once_gets_the_same_answer(people: People) -> None:
    await people.make("ada")
    first = (await people.login("ada")).json()
    answers = [
        (await people.admin.post("/v1/refresh", json={"refresh_token": first["refresh_token"]}))
        for _ in range(3)
    ]
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_a_refresh_token_that_is_used_again_later_ends_the_session(
    instance: Any, people: People
) -> None:
    await people.make("ada")
    first = (await people.login("ada")).json()
    old = {"refresh_token": first["refresh_token"]}
    second = (await people.admin.post("/v1/refresh", json=old)).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE sessions SET rotated_at = now() - interval '1 minute'")
    assert (await people.admin.post("/v1/refresh", json=old)).status_code == 401
    new = {"refresh_token": second["refresh_token"]}
    assert (await people.admin.post("/v1/refresh", json=new)).status_code == 401
    assert (await people.client(second["access_token"]).get("/v1/me")).status_code == 401


async def test_logging_out_everywhere_ends_every_session_of_the_user(people: People) -> None:
    _, client = await people.enter("ada")
    other = people.client((await people.login("ada")).json()["access_token"])
    await client.post("/v1/logout", json={"everywhere": True})
    assert (await other.get("/v1/me")).status_code == 401
    assert (await people.admin.get("/v1/me")).status_code == 200


async def test_tokens_outlive_a_change_of_the_key_when_the_earlier_one_is_kept(
    make_instance: Any, settings: Settings
) -> None:
    before = make_instance()
    await before.start(settings)
    token = (
        await before.client.post(
            "/v1/login", json={"username": "admin", "password": settings.admin_password}
        )
    ).json()
    answers = {}
    for name, change in {
        "both keys": {"jwt_secret": "n" * 32, "jwt_secret_previous": settings.jwt_secret},
        "the new key": {"jwt_secret": "n" * 32},
    }.items():
        after = make_instance()
        await after.start(settings.model_copy(update=change))
        after.client.headers["Authorization"] = f"Bearer {token['access_token']}"
        answers[name] = (await after.client.get("/v1/me")).status_code
    assert answers == {"both keys": 200, "the new key": 401}
    # A session outlives the key even so: its refresh token is compared, not computed.
    refreshed = await after.client.post(
        "/v1/refresh", json={"refresh_token": token["refresh_token"]}
    )
    assert refreshed.status_code == 200


async def test_a_key_opens_what_its_scope_and_collections_allow_and_no_more(
    instance: Any, people: People
) -> None:
    await collection(instance, "red")
    admin = people.admin
    made = (
        await admin.post("/v1/keys", json={"name": "r", "scopes": ["read"], "collections": ["red"]})
    ).json()
    assert made["key"].startswith(made["prefix"])
    assert len(made["key"]) > 40
    program = people.client(made["key"])
    me = (await program.get("/v1/me")).json()
    assert (me["role"], me["scopes"], me["readable"]) == ("admin", ["read"], ["red"])
    assert me["writable"] == []
    assert (await program.get("/v1/users")).status_code == 403
    uploaded = await program.post("/v1/documents", files={"file": ("a.txt", b"words")})
    assert uploaded.status_code == 403
    assert (await program.post("/v1/logout")).status_code == 403
    listed = (await admin.get("/v1/keys")).json()
    assert (listed["total"], "key" in listed["keys"][0]) == (1, False)


async def test_a_key_makes_no_key_that_allows_more_or_lives_longer(
    instance: Any, people: People
) -> None:
    await collection(instance, "red")
    until = datetime.now(UTC) + timedelta(hours=1)
    first = (
        await people.admin.post(
            "/v1/keys",
            json={
                "name": "first",
                "scopes": ["write"],
                "collections": ["red"],
                "expires_at": until.isoformat(),
            },
        )
    ).json()
    program = people.client(first["key"])
    for body, status in (
        ({"name": "x", "scopes": ["admin"]}, 403),
        ({"name": "x", "scopes": ["read"], "collections": ["default"]}, 404),
    ):
        assert (await program.post("/v1/keys", json=body)).status_code == status
    second = (await program.post("/v1/keys", json={"name": "second"})).json()
    assert second["collections"] == ["red"]
    assert datetime.fromisoformat(second["expires_at"]) == until
    await people.admin.delete(f"/v1/keys/{first['id']}")
    for key in (first, second):
        refused = await people.client(key["key"]).get("/v1/me")
        assert (refused.status_code, "revoked" in refused.json()["detail"]) == (401, True)


async def test_an_expired_key_and_an_invented_one_open_nothing(
    instance: Any, people: People
) -> None:
    made = (await people.admin.post("/v1/keys", json={"name": "short"})).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE api_keys SET expires_at = now()")
    answers = [
        (await people.client(key).get("/v1/me")).json()["detail"]
        for key in (made["key"], f"slk_{secrets.token_urlsafe(32)}")
    ]
    assert "expired" in answers[0]
    assert "not known" in answers[1]


async def test_somebody_elses_key_is_revoked_by_administrators_only(people: People) -> None:
    _, ada = await people.enter("ada")
    _, bob = await people.enter("bob")
    made = (await ada.post("/v1/keys", json={"name": "hers"})).json()
    path = f"/v1/keys/{made['id']}"
    assert (await bob.delete(path)).status_code == 404
    assert (await bob.get("/v1/keys")).json()["total"] == 0
    assert (await bob.get("/v1/keys?everyone=true")).status_code == 403
    assert (await people.admin.get("/v1/keys?everyone=true")).json()["total"] == 1
    assert (await people.admin.delete(path)).status_code == 204


async def test_a_key_knows_and_revokes_itself_and_its_own_only(people: People) -> None:
    _, ada = await people.enter("ada", "editor")
    leaked, other = [
        (await ada.post("/v1/keys", json={"name": name})).json() for name in ("leaked", "other")
    ]
    program = people.client(leaked["key"])
    made = (await program.post("/v1/keys", json={"name": "made"})).json()
    listed = (await program.get("/v1/keys")).json()
    assert ([key["name"] for key in listed["keys"]], listed["total"]) == (["made", "leaked"], 2)
    assert (await program.delete(f"/v1/keys/{other['id']}")).status_code == 404
    assert (await people.client(other["key"]).get("/v1/me")).status_code == 200
    assert (await program.delete(f"/v1/keys/{made['id']}")).status_code == 204
    assert (await program.delete(f"/v1/keys/{leaked['id']}")).status_code == 204
    assert (await ada.get("/v1/keys")).json()["total"] == 3


async def test_a_key_cannot_expire_beyond_what_a_time_zone_can_tell(people: People) -> None:
    until = "9999-12-31T23:59:59-12:00"
    refused = await people.admin.post("/v1/keys", json={"name": "far", "expires_at": until})
    assert refused.status_code == 422
    assert "9998" in refused.json()["detail"]


async def test_a_key_whose_answer_was_lost_is_made_once(people: People) -> None:
    once, another = (
        {"X-Request-ID": "a-request-id-1" + "x" * 100},
        {"X-Request-ID": "a-request-id-2"},
    )
    body = {"name": "program"}
    lost, got, other = [
        (await people.admin.post("/v1/keys", json=body, headers=headers)).json()["key"]
        for headers in (once, once, another)
    ]
    answers = [(await people.client(key).get("/v1/me")).status_code for key in (lost, got, other)]
    assert answers == [401, 200, 200]
    assert (await people.admin.get("/v1/keys")).json()["total"] == 2


async def test_a_key_tells_when_it_was_last_used(
    instance: Any, people: People, eventually: Callable[..., None]
) -> None:
    made = (await people.admin.post("/v1/keys", json={"name": "used"})).json()
    assert made["last_used_at"] is None
    await people.client(made["key"]).get("/v1/me")
    await instance.state.audit.flush()
    shown = (await people.admin.get("/v1/keys")).json()["keys"][0]["last_used_at"]
    assert shown is not None
    await people.client(made["key"]).get("/v1/me")
    await instance.state.audit.flush()
    assert (await people.admin.get("/v1/keys")).json()["keys"][0]["last_used_at"] == shown


async def test_a_stranger_who_guesses_from_elsewhere_does_not_lock_a_user_out(
    people: People,
) -> None:
    await people.make("ada")
    for _ in range(6):
        await people.login("ada", "wrong", address="203.0.113.9")
    assert (await people.login("ada", address="203.0.113.9")).status_code == 429
    assert (await people.login("ada")).status_code == 200


async def test_guesses_from_many_addresses_wait_and_the_user_does_not_where_they_are_known(
    people: People,
) -> None:
    await people.make("ada")
    assert (await people.login("ada", address="198.51.100.7")).status_code == 200
    answers = [
        (await people.login(name, "wrong", address=f"203.0.113.{number}")).status_code
        for name in ("ada", "nobody")
        for number in range(21)
    ]
    assert answers == ([401] * 20 + [429]) * 2
    waiting = await people.login("ada", address="192.0.2.1")
    assert (waiting.status_code, "retry-after" in waiting.headers) == (429, True)
    assert (await people.login("ada", address="198.51.100.7")).status_code == 200


async def test_failures_count_in_every_process_and_one_network_of_ipv6_is_one_address(
    make_instance: Any, settings: Settings
) -> None:
    both = [make_instance(), make_instance()]
    for each in both:
        await each.start(settings)
    answers = [
        (
            await People(both[number % 2]).login(
                "admin", "wrong", address=f"2001:db8:7:7::{number:x}"
            )
        ).status_code
        for number in range(6)
    ]
    assert answers == [401] * 5 + [429]


async def test_an_address_that_tries_many_names_waits_and_old_failures_are_forgotten(
    instance: Any, people: People
) -> None:
    from slipway_backend import throttle

    callers = [throttle.Caller.of("203.0.113.9", f"name {number}") for number in range(50)]
    async with instance.state.pool.connection() as connection:
        for caller in callers:
            await throttle.failed(connection, caller)
    refused = await people.login("yet another", "wrong", address="203.0.113.9")
    assert (refused.status_code, int(refused.headers["retry-after"]) <= 60) == (429, True)
    assert (await people.login("admin", "an admin password for tests")).status_code == 200
    async with instance.state.pool.connection() as connection:
        await connection.execute(
            "UPDATE login_failures SET failed_at = failed_at - interval '2 minutes'"
        )
        await throttle.failed(connection, callers[0])
        cursor = await connection.execute("SELECT count(*) AS n FROM login_failures")
        assert await cursor.fetchone() == {"n": 3}
