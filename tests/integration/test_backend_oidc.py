"""Logging in at the site's own identity provider, and what must never get anybody in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from oidc_provider import CLIENT, CLIENT_SECRET, Key, Provider

from slipway_backend import oidc
from slipway_backend.api.app import make_app
from slipway_backend.errors import StartRefused
from slipway_backend.settings import Settings

CALLBACK = "/v1/login/oidc/callback"
REDIRECT = f"https://slipway{CALLBACK}"
ADA = {"sub": "u-1", "preferred_username": "ada", "groups": ["staff"]}


class Browser:
    """What a person's browser does: follow the way to the provider and back, with its cookies."""

    def __init__(self, instance: Any, provider: Provider) -> None:
        self.provider = provider
        transport = httpx.ASGITransport(make_app(instance.state))
        self.http = httpx.AsyncClient(transport=transport, base_url="https://slipway")

    async def leave(self) -> dict[str, str]:
        """Go to the provider and log in there; what comes back with the browser."""
        sent = await self.http.get("/v1/login/oidc")
        assert sent.status_code == 302, sent.text
        return self.provider.authorize(sent.headers["location"])

    async def log_in(self) -> httpx.Response:
        """The whole way."""
        return await self.http.get(CALLBACK, params=await self.leave())


@pytest.fixture
async def enter(
    make_instance: Callable[[], Any], settings: Settings, oidc_provider: Provider
) -> Callable[..., Awaitable[tuple[Any, Browser]]]:
    """Start an instance that knows the provider, with a browser in front of it."""
    oidc_provider.person = dict(ADA)

    async def start(**changes: Any) -> tuple[Any, Browser]:
        own = {
            "oidc_issuer": oidc_provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_redirect_url": REDIRECT,
        }
        made = make_instance()
        await made.start(settings.model_copy(update=own | changes))
        return made, Browser(made, oidc_provider)

    return start


async def test_a_person_logs_in_there_and_is_a_user_here(enter: Any) -> None:
    instance, browser = await enter()
    answer = await browser.log_in()
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()
    me = await browser.http.get(
        "/v1/me", headers={"Authorization": f"Bearer {token['access_token']}"}
    )
    assert (me.json()["username"], me.json()["role"]) == ("ada", "reader")
    next_token = await browser.http.post(
        "/v1/refresh", json={"refresh_token": token["refresh_token"]}
    )
    assert next_token.status_code == 200
    assert (await browser.log_in()).status_code == 200
    users = (await instance.client.get("/v1/users")).json()["users"]
    assert sorted(user["username"] for user in users) == ["ada", "admin"]


async def test_no_password_gets_such_a_user_in(enter: Any) -> None:
    _, browser = await enter()
    await browser.log_in()
    for password in ("!", "x", " "):
        body = {"username": "ada", "password": password}
        assert (await browser.http.post("/v1/login", json=body)).status_code == 401


async def test_roles_and_groups_follow_the_provider_at_every_login(
    enter: Any, oidc_provider: Provider
) -> None:
    instance, browser = await enter(oidc_admin_group="ops", oidc_editor_group="writers")
    for name in ("staff", "writers", "elsewhere"):
        await instance.client.post("/v1/groups", json={"name": name})
    seen = []
    for groups in (["staff"], ["staff", "writers"], ["ops", "nowhere"], []):
        oidc_provider.person["groups"] = groups
        token = (await browser.log_in()).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        me = (await browser.http.get("/v1/me", headers=headers)).json()
        async with instance.state.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT name FROM memberships JOIN groups ON groups.id = group_id ORDER BY name"
            )
            seen.append((me["role"], [row["name"] for row in await cursor.fetchall()]))
    assert seen == [
        ("reader", ["staff"]),
        ("editor", ["staff", "writers"]),
        ("admin", []),
        ("reader", []),
    ]


async def test_a_role_given_here_stays_where_the_provider_decides_none(
    enter: Any, oidc_provider: Provider
) -> None:
    instance, browser = await enter()
    await browser.log_in()
    users = (await instance.client.get("/v1/users")).json()["users"]
    ada = next(user for user in users if user["username"] == "ada")
    await instance.client.patch(f"/v1/users/{ada['id']}", json={"role": "editor"})
    oidc_provider.person["preferred_username"] = "ada.lovelace"
    token = (await browser.log_in()).json()["access_token"]
    me = await browser.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.json()["username"], me.json()["role"]) == ("ada", "editor")


async def test_a_name_that_is_taken_is_never_taken_over(
    enter: Any, oidc_provider: Provider
) -> None:
    _, browser = await enter()
    oidc_provider.person["preferred_username"] = "admin"
    answer = await browser.log_in()
    assert answer.status_code == 401
    assert "There is a user 'admin' here already" in answer.json()["detail"]


async def test_a_user_who_is_disabled_here_stays_out(enter: Any) -> None:
    instance, browser = await enter()
    await browser.log_in()
    users = (await instance.client.get("/v1/users")).json()["users"]
    ada = next(user for user in users if user["username"] == "ada")
    await instance.client.patch(f"/v1/users/{ada['id']}", json={"disabled": True})
    answer = await browser.log_in()
    assert answer.status_code == 401
    assert "disabled" in answer.json()["detail"]


FORGED: dict[str, Callable[[Provider], None]] = {
    "made for another program": lambda each: each.claims.update(aud="another"),
    "made for several, by another": lambda each: each.claims.update(
        aud=[CLIENT, "another"], azp="another"
    ),
    "of another issuer": lambda each: each.claims.update(iss="https://evil.example"),
    "expired": lambda each: each.claims.update(exp=int(time.time()) - 3600),
    "without an end": lambda each: each.claims.update(exp=None),
    "with the nonce of another login": lambda each: each.claims.update(nonce="other"),
    "without a nonce": lambda each: each.claims.update(nonce=None),
    "without a subject": lambda each: each.claims.update(sub=None),
    "without a name": lambda each: each.claims.update(preferred_username=None),
    "signed by a stranger": lambda each: setattr(each, "sign_with", Key().private),
    "not signed": lambda each: setattr(each, "algorithm", "none"),
    "signed with what everybody knows": lambda each: (
        setattr(each, "sign_with", "s" * 32),
        setattr(each, "algorithm", "HS256"),
    )[0],
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_a_token_that_is_not_good_lets_nobody_in(
    enter: Any, oidc_provider: Provider, forge: Callable[[Provider], None]
) -> None:
    instance, browser = await enter()
    forge(oidc_provider)
    answer = await browser.log_in()
    assert answer.status_code == 401, answer.text
    assert (await instance.client.get("/v1/users")).json()["total"] == 1
    entries = (await instance.client.get("/v1/audit", params={"action": "login"})).json()["entries"]
    assert any(entry["outcome"] == "refused" for entry in entries)


async def test_a_code_is_good_once_and_for_its_own_login_alone(
    enter: Any, oidc_provider: Provider
) -> None:
    instance, browser = await enter()
    back = await browser.leave()
    stranger = Browser(instance, oidc_provider)
    assert (await stranger.http.get(CALLBACK, params=back)).status_code == 401
    await stranger.leave()
    assert (await stranger.http.get(CALLBACK, params=back)).status_code == 401
    cookies = dict(browser.http.cookies)
    assert (await browser.http.get(CALLBACK, params=back)).status_code == 200
    browser.http.cookies.update(cookies)
    assert (await browser.http.get(CALLBACK, params=back)).status_code == 401
    await browser.leave()
    denied = {"error": "access_denied", "state": back["state"]}
    assert (await browser.http.get(CALLBACK, params=denied)).status_code == 401


async def test_the_cookie_of_a_login_is_no_access_token(enter: Any) -> None:
    _, browser = await enter()
    await browser.leave()
    sealed = next(iter(browser.http.cookies.values()))
    answer = await browser.http.get("/v1/me", headers={"Authorization": f"Bearer {sealed}"})
    assert answer.status_code == 401


async def test_the_cookie_is_for_this_path_and_not_for_scripts(enter: Any) -> None:
    _, browser = await enter()
    cookie = (await browser.http.get("/v1/login/oidc")).headers["set-cookie"]
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/v1/login/oidc", "Max-Age=600"):
        assert word in cookie


async def test_new_keys_of_the_provider_are_found(
    enter: Any, oidc_provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "KEYS_SECONDS", 0.0)
    _, browser = await enter()
    assert (await browser.log_in()).status_code == 200
    oidc_provider.key = Key()
    assert (await browser.log_in()).status_code == 200


async def test_forged_keys_do_not_make_the_provider_be_asked_again_and_again(
    enter: Any, oidc_provider: Provider
) -> None:
    _, browser = await enter()
    assert (await browser.log_in()).status_code == 200
    shown, oidc_provider.key = oidc_provider.key, Key()
    for _ in range(3):
        assert (await browser.log_in()).status_code == 401
    assert oidc_provider.asked.count("/keys") == 1
    oidc_provider.key = shown
    assert (await browser.log_in()).status_code == 200


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", (500, b"oops")),
        ("/.well-known/openid-configuration", (200, b'{"issuer": "https://evil.example"}')),
        ("/token", (500, b"oops")),
        ("/token", (200, b"[]")),
        ("/keys", (200, b"not json")),
    ],
)
async def test_a_provider_that_fails_is_told_apart_from_a_wrong_login(
    enter: Any, oidc_provider: Provider, path: str, answer: tuple[int, bytes]
) -> None:
    instance, browser = await enter()
    oidc_provider.broken[path] = answer
    if path.startswith("/.well-known"):
        failed = await browser.http.get("/v1/login/oidc")
    else:
        failed = await browser.log_in()
    assert failed.status_code == 502, failed.text
    assert failed.json()["title"] == "Identity provider unreachable"
    assert (await instance.client.get("/v1/me")).status_code == 200


async def test_without_a_provider_the_way_there_is_not_found(instance: Any) -> None:
    for path in ("/v1/login/oidc", CALLBACK):
        assert (await instance.client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"oidc_client_id": ""}, "OIDC_CLIENT_ID is not"),
        ({"oidc_redirect_url": "http://slipway.internal/x"}, "OIDC_REDIRECT_URL must begin with"),
        ({"oidc_issuer": "http://idp.internal"}, "OIDC_ISSUER must begin with https"),
    ],
)
def test_a_half_set_up_provider_stops_the_start(changes: dict[str, str], said: str) -> None:
    good = {
        "oidc_issuer": "https://idp",
        "oidc_client_id": CLIENT,
        "oidc_redirect_url": REDIRECT,
    }
    with pytest.raises(StartRefused, match=said):
        Settings(**(good | changes)).require_oidc()
