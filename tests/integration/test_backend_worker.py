"""What a worker process does beside its documents, and what happens to them when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
import yaml
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager

from slipway_backend.settings import Settings

SAMPLES = Path(__file__).parents[2] / "samples"
INFRA = Path(__file__).parents[2] / "infra"
# 410 MB were seen while it ingested large documents.
WORKER_BYTES = 768 * 1024 * 1024

LONG = "a long enough pass phrase"
FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
# As the vector index does, only that few passages are enough.
SLOW_STORING = """
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.05);
    RETURN NEW;
END
$$;
CREATE TRIGGER take_time BEFORE INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION take_time();
"""


async def test_tidying_and_index_repair_that_fail_leave_the_worker_at_its_documents(
    instance: Any, start_process: Callable[..., Any]
) -> None:
    document = (await instance.upload("ferry.md", FERRY)).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute("ALTER TABLE audit RENAME TO audit_elsewhere")
        await connection.execute("DROP INDEX chunks_embedding_1")
        await connection.execute("CREATE TABLE chunks_embedding_1 ()")
    worker = start_process("worker")
    said: list[str] = []
    for line in iter(worker.stdout.readline, b""):
        said.append(line.decode())
        told = events(said)
        if {"forget_failed", "embedding_set_failed", "document_ready"} <= told:
            break
        assert "worker_interrupted" not in told
    async with instance.state.pool.connection() as connection:
        await connection.execute("ALTER TABLE audit_elsewhere RENAME TO audit")
    assert (await instance.document(document["id"]))["status"] == "ready"


async def test_a_document_is_stored_although_that_takes_longer_than_statements_may(
    make_instance: Any, settings: Settings
) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE \"{name}\" SET statement_timeout = '2s'".encode())
        connection.execute(SLOW_STORING)
    instance = make_instance()
    await instance.start(settings)
    passages = "\n\n".join(f"# Ferry {number}\n\nIt leaves at noon." for number in range(60))
    document = (await instance.upload("ferries.md", passages.encode())).json()
    await instance.work()
    found = await instance.document(document["id"])
    assert (found["status"], found["chunks"]) == ("ready", 60)


async def test_a_single_upload_goes_before_the_rest_of_somebody_elses_many(instance: Any) -> None:
    made = await instance.client.post(
        "/v1/users", json={"username": "ada", "password": LONG, "role": "admin"}
    )
    assert made.status_code == 201, made.text
    token = await instance.client.post("/v1/login", json={"username": "ada", "password": LONG})
    for number in range(12):
        await instance.upload(f"{number}.md", b"# Ferry %d\n\nIt leaves from quay four.\n" % number)
    other = {"Authorization": f"Bearer {token.json()['access_token']}"}
    single = await instance.upload("single.md", FERRY, **other)
    assert single.status_code == 202, single.text
    await instance.work()
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT source FROM documents ORDER BY updated_at")
        done = [row["source"] for row in await cursor.fetchall()]
    assert done.index("single.md") <= 1
    many = [source for source in done if source != "single.md"]
    assert many == [f"{number}.md" for number in range(12)]


async def test_a_small_file_that_takes_much_memory_is_parsed_in_the_large_lane(
    make_instance: Any, settings: Settings
) -> None:
    instance = make_instance()
    await instance.start(
        settings.model_copy(update={"small_parser_memory_bytes": 128 * 1024 * 1024})
    )
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(SAMPLES / "travel-policy.docx") as whole,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            if name == "word/document.xml":
                content = content.replace(b"<w:body>", b"<w:body>" + b"<w:p/>" * 100_000)
            archive.writestr(name, content)
    assert len(packed.getvalue()) < settings.small_document_bytes
    document = (await instance.upload("policy.docx", packed.getvalue())).json()
    with structlog.testing.capture_logs() as logs:
        await instance.work()
    assert [entry["event"] for entry in logs].count("document_changed_lane") == 1
    found = await instance.document(document["id"])
    assert found["status"] == "ready", found["error"]


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("end", ["finish_job", "retry_job"])
async def test_a_jobs_end_is_written_once_although_its_connection_breaks(
    instance: Any, monkeypatch: pytest.MonkeyPatch, end: str, written: bool
) -> None:
    document = (await instance.upload("ferry.md", FERRY)).json()
    path = instance.state.files.path(document["sha256"])
    elsewhere = path.rename(path.with_suffix(".elsewhere")) if end == "retry_job" else None
    write = getattr(JobManager, end)
    calls = 0

    async def breaking(*arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1 or written:
            await write(*arguments, **named)
        if calls == 1:
            raise ConnectorException from psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(JobManager, end, breaking)
    await instance.work()
    assert calls == (1 if written else 2)
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = now() RETURNING status::text AS status"
        )
        found = [row["status"] for row in await cursor.fetchall()]
    assert found == (["todo"] if elsewhere else [])
    if elsewhere:
        elsewhere.rename(path)
    await instance.work()
    assert (await instance.document(document["id"]))["status"] == "ready"


async def test_a_parser_that_the_system_ends_fails_its_document_and_no_other(
    instance: Any, start_process: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    worker = start_process("worker")
    large = b"<p>word</p>" * 300_000
    assert len(large) > instance.state.settings.small_document_bytes
    victim = (await instance.upload("large.html", large)).json()
    pids: list[int] = []

    def parsing() -> bool:
        pids[:] = parsers_of(worker.pid)
        return bool(pids)

    await asyncio.to_thread(eventually, parsing, "parsing")
    # As the kernel does to the first process of a container whose memory is used up.
    os.kill(pids[0], signal.SIGKILL)
    other = (await instance.upload("ferry.md", FERRY)).json()
    await instance.wait_for(victim["id"], "failed", "ready")
    await instance.wait_for(other["id"], "failed", "ready")
    assert (await instance.document(other["id"]))["status"] == "ready"
    failed = await instance.document(victim["id"])
    assert failed["status"] == "failed"
    assert "more than the 1024 MB of memory" in failed["error"]
    assert worker.poll() is None


def test_all_parsers_at_once_fit_into_the_workers_container() -> None:
    services = yaml.safe_load((INFRA / "compose/app.yaml").read_text(encoding="utf-8"))["services"]
    limit = int(services["worker"]["mem_limit"].removesuffix("m")) * 1024 * 1024
    default = Settings()
    parsers = (
        default.small_jobs * default.small_parser_memory_bytes
        + default.large_jobs * default.parser_memory_bytes
    )
    assert limit - parsers >= WORKER_BYTES


def parsers_of(pid: int) -> list[int]:
    """The parser processes of a worker: the children of the one that has loaded the parsers."""
    return [parser for spawner in children(pid) for parser in children(spawner)]


def children(pid: int) -> list[int]:
    """The child processes of a process, which may have ended."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listed.read_text().split())
    return found


def events(lines: list[str]) -> set[str]:
    """The events of log lines."""
    return {json.loads(line)["event"] for line in lines if line.startswith("{")}
