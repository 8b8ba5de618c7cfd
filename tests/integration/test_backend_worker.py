"""What a worker process does beside its documents, and what happens to them when that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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


def events(lines: list[str]) -> set[str]:
    """The events of log lines."""
    return {json.loads(line)["event"] for line in lines if line.startswith("{")}
