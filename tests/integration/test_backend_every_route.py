"""Every route as every kind of caller: a document is nowhere for those who may not see it.

The routes are those of the app's OpenAPI. A route that needs a body or a query gets a line in
CALLS; one with a new name in its path gets a value in `Site.values`. Nothing else is to be done.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from slipway_backend import grants, groups, keys, sessions, users
from slipway_backend.access import Identity, Role, Scope
from slipway_backend.api.app import make_app

MARKER = "zwibbelqux"
SECRET_PASSAGE = f"# The {MARKER}\n\nThe {MARKER} is kept in the vault below the pier.\n".encode()
PRIVATE, OTHER = "private", "other"
QUESTION = f"Where is the {MARKER} kept?"


@dataclass(frozen=True)
class Call:
    """How one operation is called, besides what stands in its path."""

    json: Any = None
    files: Any = None
    params: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    reads: bool = False
    last: bool = False


FILE = {"file": ("a.txt", b"Words that anybody may write.")}
CALLS: dict[str, tuple[Call, ...]] = {
    "POST /v1/search": (
        Call(json={"query": MARKER, "limit": 50}, reads=True),
        Call(json={"query": MARKER, "filters": {"collections": [PRIVATE]}}, reads=True),
    ),
    "POST /v1/query": (
        Call(json={"question": QUESTION}, reads=True),
        Call(json={"question": QUESTION, "stream": True}, reads=True),
        Call(json={"question": QUESTION, "filters": {"collections": [PRIVATE]}}, reads=True),
    ),
    "POST /v1/chat/completions": tuple(
        Call(
            json={
                "model": model,
                "stream": stream,
                "messages": [{"role": "user", "content": QUESTION}],
            },
            reads=True,
        )
        for model in ("slipway", f"slipway/{PRIVATE}")
        for stream in (False, True)
    ),
    "POST /v1/embeddings": (
        Call(json={"input": MARKER, "model": "all-MiniLM-L6-v2-int8"}, reads=True),
    ),
    "GET /v1/documents": (
        Call(reads=True),
        Call(params={"collection": PRIVATE}, reads=True),
        Call(params={"source_prefix": MARKER}, reads=True),
    ),
    "POST /v1/documents": (
        Call(files=FILE, params={"collection": PRIVATE}),
        Call(files={"file": (f"{MARKER}.md", SECRET_PASSAGE)}, params={"collection": PRIVATE}),
        Call(files=FILE, headers={"idempotency-key": MARKER}),
    ),
    "POST /v1/collections": (Call(json={"name": "made-by-anybody"}),),
    "PATCH /v1/collections/{name}": (
        Call(json={"description": "mine now"}),
        Call(json={"name": "renamed"}),
    ),
    "DELETE /v1/collections/{name}": (Call(), Call(params={"force": "true"})),
    "PUT /v1/collections/{name}/grants": (Call(json={"user_id": "{user_id}", "access": "write"}),),
    "POST /v1/login": (Call(json={"username": "admin", "password": "a wrong password"}),),
    "POST /v1/refresh": (Call(json={"refresh_token": f"slr_{uuid4().hex}_0"}),),
    "POST /v1/logout": (Call(json={"everywhere": True}, last=True),),
    "PUT /v1/me/password": (
        Call(json={"current_password": "a wrong password", "new_password": "a long new password"}),
    ),
    "POST /v1/users": (
        Call(json={"username": "mallory", "password": "a long new password", "role": "admin"}),
    ),
    "PATCH /v1/users/{user_id}": (Call(json={"role": "reader"}), Call(json={"disabled": True})),
    "POST /v1/groups": (Call(json={"name": "mallory's"}),),
    "POST /v1/keys": (
        Call(json={"name": "mine", "scopes": ["read"]}),
        Call(json={"name": "mine", "scopes": ["read"], "collections": [PRIVATE]}),
        Call(json={"name": "mine", "scopes": ["admin"]}),
    ),
    "GET /v1/keys": (Call(reads=True), Call(params={"everyone": "true"}, reads=True)),
}
# What these tell is about the process as a whole, and the edge lets nobody ask for it.
ABOUT_THE_PROCESS = {"GET /metrics", "GET /health/ready", "GET /health/live"}
# Somebody who may see the document must find it here, or the test would prove nothing.
SHOWS_THE_DOCUMENT = {
    "GET /v1/documents",
    "GET /v1/documents/{document_id}",
    "POST /v1/search",
    "POST /v1/query",
    "POST /v1/chat/completions",
}


def operations(app: FastAPI) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Each operation of the OpenAPI: its name, method, path, description."""
    for path, described in app.openapi()["paths"].items():
        for method, operation in described.items():
            yield f"{method.upper()} {path}", method.upper(), path, operation


def calls_of(name: str, method: str, operation: dict[str, Any]) -> tuple[Call, ...]:
    """How an operation is called; fails the test when nobody has said it."""
    if name in CALLS:
        return CALLS[name]
    if method == "GET":
        return (Call(reads=True),)
    if operation.get("requestBody", {}).get("required"):
        pytest.fail(
            f"{name} needs a body, and this test does not know one: add a line to CALLS in "
            f"{__file__}: a body that asks for or changes the marker's collection, with "
            "reads=True when it changes nothing."
        )
    return (Call(),)


class Site:
    """An instance with people in it, and a document that only some of them may see."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.state = instance.state
        self.app = make_app(instance.state)
        self.values: dict[str, str] = {
            "document_id": str(uuid4()),
            "queued_id": str(uuid4()),
            "name": PRIVATE,
            "model": f"slipway/{PRIVATE}",
            "grant_id": str(uuid4()),
            "version": "1",
            "job_id": "1",
        }
        self.people: dict[str, users.User] = {}

    async def person(self, name: str, role: Role, **granted: grants.Access) -> None:
        async with self.state.pool.connection() as connection, connection.transaction():
            if name not in self.people:
                self.people[name] = await users.insert(connection, name, "no password", role)
            for collection, access in granted.items():
                await grants.give(
                    connection,
                    await grants.collection_id(connection, collection),
                    user_id=self.people[name].id,
                    group_id=None,
                    access=access,
                )

    async def token(self, name: str, *, seconds: int = 600, ended: bool = False) -> str:
        user = self.people[name]
        async with self.state.pool.connection() as connection, connection.transaction():
            session, _ = await sessions.begin(
                connection, user.id, keys=self.state.token_keys, seconds=600
            )
            if ended:
                await sessions.end(connection, session)
        identity = Identity(user.id, user.username, user.role)
        return str(self.state.token_keys.issue(identity, session_id=session, seconds=seconds))

    async def key(
        self, name: str, scope: Scope, *collections: str, revoked: bool = False
    ) -> tuple[UUID, str]:
        user = self.people[name]
        owner = Identity(user.id, user.username, user.role)
        async with self.state.pool.connection() as connection, connection.transaction():
            made, secret = await keys.make(
                connection,
                owner,
                name="of the test",
                scope=scope,
                collections=collections or None,
                expires_at=datetime.now(UTC) + timedelta(hours=1),
            )
            if revoked:
                await keys.revoke(connection, made.id, owner)
        return made.id, secret

    async def ask(self, token: str | None, method: str, path: str, call: Call) -> Answer:
        headers = dict(call.headers) | ({"Authorization": f"Bearer {token}"} if token else {})
        body = call.json
        if body is not None:
            body = {
                name: self.values.get(value.strip("{}"), value) if isinstance(value, str) else value
                for name, value in body.items()
            }
        async with httpx.AsyncClient(
            transport=UntilSilence(self.app), base_url="http://slipway", headers=headers
        ) as client:
            response = await client.request(
                method, self.fill(path), json=body, files=call.files, params=call.params
            )
        return Answer(response)

    def fill(self, path: str) -> str:
        wanted = re.findall(r"{(\w+)(?::path)?}", path)
        for name in wanted:
            if name not in self.values:
                pytest.fail(f"{path} has {name!r} in it: add a value for it to Site.values.")
            path = re.sub(rf"{{{name}(:path)?}}", self.values[name], path)
        return path

    async def protected(self) -> str:
        """A digest of all that callers without the right must leave as it is."""
        private = f"(SELECT id FROM collections WHERE name IN ('{PRIVATE}', 'renamed'))"
        parts = (
            f"SELECT to_jsonb(documents) FROM documents WHERE collection_id = {private}",
            f"SELECT to_jsonb(chunks) - 'lexemes' FROM chunks WHERE collection_id = {private}",
            f"SELECT to_jsonb(collections) FROM collections WHERE id = {private}",
            f"SELECT to_jsonb(grants) FROM grants WHERE collection_id = {private}",
            "SELECT to_jsonb(users) - 'written_lsn' - 'sessions_ended_at' FROM users",
            "SELECT to_jsonb(groups) FROM groups",
            "SELECT to_jsonb(memberships) FROM memberships",
            "SELECT to_jsonb(embedding_sets) FROM embedding_sets",
            "SELECT to_jsonb(api_keys) - 'last_used_at' FROM api_keys WHERE name = 'of the test'",
        )
        union = " UNION ALL ".join(f"({part})" for part in parts)
        async with self.state.pool.connection() as connection:
            cursor = await connection.execute(
                f"SELECT md5(string_agg(row::text, ';' ORDER BY row::text)) AS digest"
                f" FROM ({union}) AS everything (row)".encode()
            )
            row = await cursor.fetchone()
        return str(row["digest"]) if row else ""


@dataclass(frozen=True)
class Answer:
    """What a caller was told."""

    response: httpx.Response

    @property
    def told(self) -> str:
        headers = "\n".join(f"{name}: {value}" for name, value in self.response.headers.items())
        return f"{headers}\n\n{self.response.content.decode('utf-8', 'replace')}"

    def normal(self, values: dict[str, str]) -> tuple[int, str]:
        """Status and body without what differs between any two answers."""
        text = self.response.content.decode("utf-8", "replace")
        for name, value in values.items():
            if len(value) > 8:
                text = text.replace(value, name)
        for pattern in (
            r'"request_id":\s*"\w+"',
            r'"(created|last_used_at|seconds|id)":\s*("?[^",}]*"?)',
        ):
            text = re.sub(pattern, "", text)
        return self.response.status_code, text


class UntilSilence(httpx.AsyncBaseTransport):
    """Calls the app, and goes away from a stream that has nothing more to say for a moment."""

    SILENCE_SECONDS = 0.5

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        pieces: list[bytes] = []
        start: dict[str, Any] = {}
        heard, gone, given = asyncio.Event(), asyncio.Event(), False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))
            heard.set()

        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("slipway", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }
        call = asyncio.create_task(self._app(scope, receive, send))
        while not call.done():
            heard.clear()
            waiting = asyncio.create_task(heard.wait())
            limit = self.SILENCE_SECONDS if _is_stream(start) else None
            done, _ = await asyncio.wait(
                {call, waiting}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            waiting.cancel()
            if not done:
                gone.set()
                await asyncio.wait({call})
        return httpx.Response(
            start["status"], headers=start["headers"], content=b"".join(pieces), request=request
        )


def _is_stream(start: dict[str, Any]) -> bool:
    headers = dict(start.get("headers", []))
    return headers.get(b"content-type", b"").startswith(b"text/event-stream")


Token = Callable[[], Any]


@dataclass(frozen=True)
class Caller:
    """One kind of caller: how its token is made, and what it may do with the document."""

    token: Token
    sees: bool = False
    writes: bool = False


@pytest.fixture
async def site(instance: Any) -> Site:
    made = Site(instance)
    async with made.state.pool.connection() as connection, connection.transaction():
        await connection.execute("INSERT INTO collections (name) VALUES (%s)", [OTHER])
        group, _ = await groups.ensure(connection, "the victims")
    await made.person("boss", "admin")
    await made.person("victim", "editor")
    await made.person("reader", "reader", other="read")
    await made.person("reader with grant", "reader")
    await made.person("editor of another", "editor", other="write")
    await made.person("editor", "editor")
    await made.person("disabled", "editor")
    made.values |= {
        "user_id": str(made.people["victim"].id),
        "group_id": str(group.id),
        "key_id": str((await made.key("victim", "read"))[0]),
    }
    return made


async def no_token() -> None:
    return None


async def all_callers(site: Site) -> dict[str, Caller]:
    """The kinds of callers; those who may do more come later."""
    _, revoked = await site.key("boss", "admin", revoked=True)
    _, of_another = await site.key("boss", "write", OTHER)
    _, read_only = await site.key("boss", "read")

    def fixed(text: str) -> Token:
        async def give() -> str:
            return text

        return give

    return {
        "nobody": Caller(no_token),
        "expired token": Caller(lambda: site.token("boss", seconds=-1)),
        "ended session": Caller(lambda: site.token("boss", ended=True)),
        "revoked key": Caller(fixed(revoked)),
        "disabled user": Caller(fixed(await site.token("disabled"))),
        "reader without grant": Caller(lambda: site.token("reader")),
        "editor of another collection": Caller(lambda: site.token("editor of another")),
        "administrator's key for another collection": Caller(fixed(of_another)),
        "reader with read grant": Caller(lambda: site.token("reader with grant"), sees=True),
        "administrator's key to read": Caller(fixed(read_only), sees=True),
        "editor with grant": Caller(lambda: site.token("editor"), sees=True, writes=True),
        "administrator": Caller(lambda: site.token("boss"), sees=True, writes=True),
    }


async def add_the_document(site: Site) -> None:
    async with site.state.pool.connection() as connection:
        await connection.execute("INSERT INTO collections (name) VALUES (%s)", [PRIVATE])
        await connection.execute("UPDATE users SET disabled_at = now() WHERE username = 'disabled'")
    await site.person("disabled", "editor", private="write")
    await site.person("reader with grant", "reader", private="read")
    await site.person("editor", "editor", private="write")
    await site.person("victim", "editor", private="write")
    for name, status in ((f"{MARKER}.md", "ready"), (f"{MARKER} waits.md", "queued")):
        uploaded = await site.instance.client.post(
            "/v1/documents", params={"collection": PRIVATE}, files={"file": (name, SECRET_PASSAGE)}
        )
        assert uploaded.status_code == 202, uploaded.text
        if status == "ready":
            await site.instance.work()
            site.values["document_id"] = uploaded.json()["id"]
    async with site.state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT id FROM grants WHERE user_id = %s", [site.people["victim"].id]
        )
        row = await cursor.fetchone()
    site.values["grant_id"] = str(row["id"]) if row else ""


async def reads(site: Site, caller: Caller) -> dict[str, list[Answer]]:
    """What a caller is told by everything that changes nothing."""
    told: dict[str, list[Answer]] = {}
    token = await caller.token()
    for name, method, path, operation in operations(site.app):
        for call in calls_of(name, method, operation):
            if call.reads:
                told.setdefault(name, []).append(await site.ask(token, method, path, call))
    return told


async def test_every_route_hides_a_document_from_those_who_may_not_see_it(site: Site) -> None:
    await site.instance.client.post(
        "/v1/documents",
        params={"collection": OTHER},
        files={"file": ("pier.md", b"# Pier\n\nThe pier has a lamp and a bench.\n")},
    )
    await site.instance.work()
    callers = await all_callers(site)
    blind = {name: caller for name, caller in callers.items() if not caller.sees}
    without = {
        name: (await reads(site, caller), dict(site.values)) for name, caller in blind.items()
    }
    await add_the_document(site)
    for name, caller in blind.items():
        earlier, values = without[name]
        for operation, answers in (await reads(site, caller)).items():
            for answer, before in zip(answers, earlier[operation], strict=True):
                assert_hidden(answer, name, operation)
                if operation not in ABOUT_THE_PROCESS and name != "disabled user":
                    assert answer.normal(site.values) == before.normal(
                        values
                    ), f"{operation} tells {name} that there is a document they may not see"
    shown = {
        name: {
            operation
            for operation, answers in (await reads(site, caller)).items()
            if any(MARKER in answer.told for answer in answers)
        }
        for name, caller in callers.items()
        if caller.sees
    }
    for name, operations_ in shown.items():
        assert operations_ >= SHOWS_THE_DOCUMENT, f"{name} should have seen the document"


async def test_no_route_changes_anything_for_those_who_may_not(site: Site) -> None:
    callers = await all_callers(site)
    await add_the_document(site)
    for name, caller in callers.items():
        if caller.writes:
            continue
        token = await caller.token()
        before = await site.protected()
        listed = [
            (operation, method, path, call)
            for operation, method, path, described in operations(site.app)
            for call in calls_of(operation, method, described)
            if not call.reads
        ]
        for operation, method, path, call in sorted(listed, key=lambda each: each[3].last):
            answer = await site.ask(token, method, path, call)
            if not caller.sees and call.files is None:
                assert_hidden(answer, name, operation)
            assert await site.protected() == before, f"{operation} let {name} change something"


async def test_an_editor_with_a_grant_administers_nothing(site: Site) -> None:
    await add_the_document(site)
    token = await site.token("editor")
    for name, method, path, described in operations(site.app):
        if not path.startswith(("/v1/users", "/v1/groups", "/v1/audit")) and "grants" not in path:
            continue
        for call in calls_of(name, method, described):
            assert (await site.ask(token, method, path, call)).response.status_code == 403, name


def test_every_route_that_answers_is_described(site_app: FastAPI) -> None:
    described = set(site_app.openapi()["paths"])
    there = {
        re.sub(r":path}", "}", route.path)
        for route in site_app.routes
        if isinstance(route, APIRoute)
    }
    assert there <= described


@pytest.fixture
def site_app(site: Site) -> FastAPI:
    return site.app


def assert_hidden(answer: Answer, caller: str, operation: str) -> None:
    # What somebody sends may come back to them in a complaint, but not what stands beside it.
    told = answer.told
    sent = answer.response.request.content.decode("utf-8", "replace") + str(
        answer.response.request.url
    )
    assert answer.response.status_code < 500, f"{operation} fails for {caller}: {told}"
    assert "vault below" not in told, f"{operation} tells {caller} of the document: {told}"
    if MARKER not in sent:
        assert MARKER not in told, f"{operation} tells {caller} of the document: {told}"
    assert f"{MARKER}.md" not in told, f"{operation} tells {caller} of the document: {told}"
