"""What a worker process does beside its documents, and what happens to them when that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

LONG = "a long enough pass phrase"
FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"


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


def events(lines: list[str]) -> set[str]:
    """The events of log lines."""
    return {json.loads(line)["event"] for line in lines if line.startswith("{")}
