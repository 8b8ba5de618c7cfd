"""Whether this instance lives, whether it is ready, and its figures. Never through the edge."""

from __future__ import annotations

import contextlib
import time

import anyio.to_thread
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from slipway_backend.api.models.health import Health
from slipway_backend.api.state import State, StateDependency
from slipway_backend.database import TRANSIENT, Connection
from slipway_backend.documents import count_orphan_chunks

router = APIRouter(tags=["health"])

# On a busy machine one check may come late; without a ready instance the edge serves nobody.
PATIENCE_SECONDS = 2.5
RETRY_SECONDS = "5"
# Counting reads every chunk: 80 ms for 100,000 that no vacuum has seen yet, 9 ms afterwards.
ORPHANS_SECONDS = 60.0
POOL_STATES = {"open": "pool_size", "idle": "pool_available", "waiting": "requests_waiting"}
DOCUMENT_STATUSES = ("queued", "processing", "ready", "failed")


@router.get("/health/live")
async def live(state: StateDependency) -> Health:
    """Answer as long as the process can answer at all."""
    return _health(state, "live")


@router.get("/health/ready", responses={503: {"model": Health, "description": "Not ready."}})
async def ready(response: Response, state: StateDependency) -> Health:
    """Answer 200 when requests are welcome: the database can be written and fits the model."""
    if state.lifecycle.draining:
        response.status_code = 503
        response.headers["retry-after"] = RETRY_SECONDS
        return _health(state, "draining", "This instance is about to stop.")
    try:
        obstacle = await state.sets.obstacle(state.health_pool)
        if state.pool.lost:
            # It makes its connections again at its own pace, later than this one's.
            async with state.pool.connection():
                pass
        state.lifecycle.reached_at = time.monotonic()
    except TRANSIENT:
        if time.monotonic() - state.lifecycle.reached_at < PATIENCE_SECONDS:
            return _health(state, "ready")
        response.status_code = 503
        response.headers["retry-after"] = RETRY_SECONDS
        return _health(state, "not ready", "The database cannot be reached.")
    if obstacle:
        response.status_code = 503
        response.headers["retry-after"] = RETRY_SECONDS
        return _health(state, "not ready", obstacle)
    return _health(state, "ready")


@router.get("/metrics", response_class=Response)
async def metrics(state: StateDependency) -> Response:
    """Return Prometheus figures; without a database those of the process alone."""
    state.metrics.draining.set(state.lifecycle.draining)
    with contextlib.suppress(*TRANSIENT):
        await _collect(state)
    content = await anyio.to_thread.run_sync(generate_latest, state.metrics.registry)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


async def _collect(state: State) -> None:
    figures = state.metrics
    counts = state.pool.get_stats()
    for name, key in POOL_STATES.items():
        figures.pool.labels("primary", name).set(counts.get(key, 0))
    async with state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT status, count(*) AS number FROM documents GROUP BY status"
        )
        by_status = {row["status"]: row["number"] for row in await cursor.fetchall()}
        cursor = await connection.execute(
            "SELECT status::text, count(*) AS number FROM procrastinate_jobs GROUP BY status"
        )
        jobs = {row["status"]: row["number"] for row in await cursor.fetchall()}
        cursor = await connection.execute(
            "SELECT coalesce(sum(chunks), 0) AS chunks,"
            " (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM documents"
            " WHERE status IN ('queued', 'processing')) AS oldest FROM documents"
        )
        row = await cursor.fetchone()
        await _count_orphans(state, connection)
    for status in DOCUMENT_STATUSES:
        figures.documents.labels(status).set(by_status.get(status, 0))
    for status in ("todo", "doing", "failed"):
        figures.jobs.labels(status).set(jobs.get(status, 0))
    if row is not None:
        figures.chunks.set(float(row["chunks"]))
        figures.oldest_job_seconds.set(float(row["oldest"]))


async def _count_orphans(state: State, connection: Connection) -> None:
    if time.monotonic() < state.lifecycle.orphans_counted_at + ORPHANS_SECONDS:
        return
    # Before the answer, so that scrapes that come meanwhile do not count as well.
    state.lifecycle.orphans_counted_at = time.monotonic()
    state.metrics.orphan_chunks.set(await count_orphan_chunks(connection))


def _health(state: State, status: str, reason: str | None = None) -> Health:
    return Health.model_validate(
        {
            "status": status,
            "reason": reason,
            "generation": state.settings.generation,
            "release": state.settings.release,
        }
    )
