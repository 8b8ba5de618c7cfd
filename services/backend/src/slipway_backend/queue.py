"""The job queue in PostgreSQL: how a job is put in, and what runs it.

Small and large documents wait in lanes of their own, so that a huge or hostile one holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Literal
from uuid import UUID

import procrastinate
import structlog
from procrastinate import JobContext, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from slipway_backend import versions
from slipway_backend.database import (
    TRANSIENT,
    Connection,
    Pool,
    note_processes,
    noted_processes,
)
from slipway_backend.ingestion import Ingestion, TooMuchForLane, Unavailable
from slipway_backend.logs import get_logger
from slipway_backend.settings import Settings

Lane = Literal["small", "large"]
LANES: tuple[Lane, ...] = ("small", "large")
QUEUES: dict[Lane, str] = {"small": "ingestion-small", "large": "ingestion-large"}
TASK = "ingest_version"
# What the release before puts in. Its own workers must not take jobs that name versions.
EARLIER_QUEUE = "ingestion"
EARLIER_TASK = "ingest"
# 2026: procrastinate's priorities are of 32 bits, and jobs of the release before have 0.
PRIORITY_EPOCH = 1_767_225_600
SECONDS_PER_UNFINISHED = 5
# Between two tries while something that every document needs is away.
SHORTEST_WAIT_SECONDS = 3
LONGEST_WAIT_SECONDS = 60
# Before a job's end is written again over another connection.
WRITE_PAUSES = (0.5, 2.0)
GAVE_UP = (
    "Ingestion was tried {attempts} times and did not finish; "
    "the worker's log of this document says why."
)


class Interrupted(Exception):
    """The worker was told to stop in the middle of a job, which another one shall do."""


class _Retry(procrastinate.BaseRetryStrategy):
    """Try again with growing pauses; after an interruption at once.

    What is unavailable is waited for again as long as it has been, within limits.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._unavailable_since = self._unavailable_at = -math.inf

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, Interrupted):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, Unavailable):
            return RetryDecision(retry_in={"seconds": self._wait(time.monotonic())})
        if job.attempts + 1 >= self._attempts:
            return None
        return RetryDecision(retry_in={"seconds": 3 ** (job.attempts + 1)})

    def _wait(self, now: float) -> int:
        # It counts as back when nobody has missed it for a while.
        if now - self._unavailable_at > 2 * LONGEST_WAIT_SECONDS:
            self._unavailable_since = now
        self._unavailable_at = now
        seconds = int(now - self._unavailable_since)
        return min(max(seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)


class _Jobs(JobManager):
    """Writes a job's end again when its connection broke: its worker lives, so nobody else does."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        await self._write(job, partial(super().finish_job, job, status, delete_job))

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        await self._write(job, partial(super().retry_job, job, retry_at, priority, queue, lock))

    async def _write(self, job: Job, write: Callable[[], Awaitable[None]]) -> None:
        attempt = write
        for pause in WRITE_PAUSES:
            try:
                await attempt()
                return
            except ConnectorException as error:
                if not isinstance(error.__cause__, TRANSIENT):
                    raise
                get_logger().warning(
                    "job_end_not_written", job_id=job.id, cause=type(error.__cause__).__name__
                )
            await asyncio.sleep(pause)
            attempt = partial(self._write_unless_written, job, write)
        await attempt()

    async def _write_unless_written(self, job: Job, write: Callable[[], Awaitable[None]]) -> None:
        # The connection may have broken behind the commit, and another worker have the job by now.
        if await self.list_jobs_async(id=job.id, status="doing", worker_id=job.worker_id):
            await write()


def choose_lane(settings: Settings, size: int) -> Lane:
    """The lane of a file of ``size`` bytes."""
    return "small" if size <= settings.small_document_bytes else "large"


def choose_priority(now: float, unfinished: int) -> int:
    """The priority of an upload at ``now`` (seconds since the epoch); higher goes first.

    Each of the user's ``unfinished`` documents puts it a few seconds back, so that a single upload
    goes before the rest of somebody's thousand, and every job's turn comes all the same.
    """
    return PRIORITY_EPOCH - int(now) - unfinished * SECONDS_PER_UNFINISHED


def queues_of(lane: Lane) -> list[str]:
    """The queues that a lane's workers empty; small jobs include those of the release before."""
    return [QUEUES[lane], EARLIER_QUEUE] if lane == "small" else [QUEUES[lane]]


async def defer_ingestion(
    queue: procrastinate.App,
    connection: Connection,
    document_id: UUID,
    version: int,
    *,
    lane: Lane,
    priority: int,
    request_id: str,
) -> int:
    """Put an ingestion job in as part of the connection's transaction; return the job's number.

    ``priority`` is what ``choose_priority`` says.
    """
    return await queue.configure_task(
        TASK,
        queue=QUEUES[lane],
        lock=f"document:{document_id}:{version}",
        priority=priority,
        connection=connection,
    ).defer_async(document_id=str(document_id), version=version, request_id=request_id)


def make_queue() -> procrastinate.App:
    """Return a queue that is not opened; open it with ``open_queue``."""
    queue = procrastinate.App(connector=procrastinate.PsycopgConnector())
    queue.job_manager = _Jobs(queue.connector)
    return queue


async def open_queue(queue: procrastinate.App, pool: Pool) -> None:
    """Let the queue use the process's own pool."""
    await queue.open_async(pool)


def add_ingestion(queue: procrastinate.App, ingestion: Ingestion) -> None:
    """Teach the queue how to ingest, with the worker's own parts bound to it."""
    attempts = ingestion.settings.ingest_attempts

    async def ingest_version(
        context: JobContext, document_id: str, request_id: str, version: int | None = None
    ) -> None:
        structlog.contextvars.bind_contextvars(request_id=request_id)
        note_processes()
        job = context.job
        identity = UUID(document_id)
        if job.attempts >= attempts:
            # Only a job that keeps ending its worker comes here; the rest is counted below.
            await ingestion.give_up(identity, version, GAVE_UP.format(attempts=job.attempts))
            return
        try:
            await ingestion.run(identity, version, small=job.queue != QUEUES["large"])
        except TooMuchForLane as much:
            await _change_lane(queue, ingestion.pool, much.version, job.priority, request_id)
        except asyncio.CancelledError:
            get_logger().warning("ingestion_interrupted", document_id=document_id)
            await _take_back_attempt(ingestion.pool, job)
            raise Interrupted from None
        except Unavailable as error:
            get_logger().warning("ingestion_waits", document_id=document_id, cause=str(error))
            await _take_back_attempt(ingestion.pool, job)
            raise
        except Exception as error:
            get_logger().exception(
                "ingestion_failed",
                document_id=document_id,
                attempt=job.attempts + 1,
                of=attempts,
                cause=type(error).__name__,
                **noted_processes(),
            )
            if job.attempts + 1 < attempts:
                raise
            await ingestion.give_up(identity, version, GAVE_UP.format(attempts=attempts))
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    retry = _Retry(attempts)
    queue.task(name=TASK, queue=QUEUES["small"], retry=retry, pass_context=True)(ingest_version)

    async def ingest(context: JobContext, document_id: str, request_id: str) -> None:
        await ingest_version(context, document_id, request_id)

    queue.task(name=EARLIER_TASK, queue=EARLIER_QUEUE, retry=retry, pass_context=True)(ingest)


async def _take_back_attempt(pool: Pool, job: Job) -> None:
    """Let the try in hand not be one of the job's, when the queue counts it at its end."""
    with contextlib.suppress(*TRANSIENT):
        async with pool.connection() as connection:
            await connection.execute(
                "UPDATE procrastinate_jobs SET attempts = attempts - 1 WHERE id = %s", [job.id]
            )


async def _change_lane(
    queue: procrastinate.App,
    pool: Pool,
    version: versions.Version,
    priority: int,
    request_id: str,
) -> None:
    """Give a document that costs much to parse to the large lane, where others do not wait."""
    try:
        async with pool.connection() as connection, connection.transaction():
            job = await defer_ingestion(
                queue,
                connection,
                version.document_id,
                version.version,
                lane="large",
                priority=priority,
                request_id=request_id,
            )
            await versions.queue_again(connection, version, job)
    except versions.Superseded:
        return
    get_logger().info("document_changed_lane", document_id=str(version.document_id))


async def requeue_stalled(queue: procrastinate.App, seconds: float) -> int:
    """Queue again the jobs whose worker has been silent for ``seconds``; return how many."""
    jobs = list(await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=seconds))
    requeued = 0
    for job in jobs:
        try:
            await queue.job_manager.retry_job(job)
        except procrastinate.exceptions.ConnectorException:
            # Another worker was faster, or the job ended after all.
            get_logger().info("job_not_requeued", job_id=job.id)
            continue
        requeued += 1
        get_logger().warning("job_requeued", job_id=job.id, attempts=job.attempts)
    return requeued
