"""The job queue in PostgreSQL: how a job is put in, and what runs it."""

from __future__ import annotations

import asyncio
from uuid import UUID

import procrastinate
import structlog
from procrastinate import JobContext, RetryDecision
from procrastinate.jobs import Job

from slipway_backend.database import Connection, Pool
from slipway_backend.ingestion import Ingestion
from slipway_backend.logs import get_logger

QUEUE = "ingestion"
TASK = "ingest"
GAVE_UP = (
    "Ingestion was tried {attempts} times and did not finish; "
    "the worker's log of this document says why."
)


class Interrupted(Exception):
    """The worker was told to stop in the middle of a job, which another one shall do."""


class _Retry(procrastinate.BaseRetryStrategy):
    """Try again with growing pauses; after an interruption at once."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, Interrupted):
            return RetryDecision(retry_in={"seconds": 0})
        if job.attempts + 1 >= self._attempts:
            return None
        return RetryDecision(retry_in={"seconds": 3 ** (job.attempts + 1)})


async def defer_ingestion(
    queue: procrastinate.App, connection: Connection, document_id: UUID, request_id: str
) -> None:
    """Put an ingestion job into the queue as part of the connection's transaction."""
    await queue.configure_task(
        TASK, queue=QUEUE, lock=f"document:{document_id}", connection=connection
    ).defer_async(document_id=str(document_id), request_id=request_id)


def make_queue() -> procrastinate.App:
    """Return a queue that is not opened; open it with ``open_queue``."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector())


async def open_queue(queue: procrastinate.App, pool: Pool) -> None:
    """Let the queue use the process's own pool."""
    await queue.open_async(pool)


def add_ingestion(queue: procrastinate.App, ingestion: Ingestion) -> None:
    """Teach the queue how to ingest, with the worker's own parts bound to it."""
    attempts = ingestion.settings.ingest_attempts

    async def ingest(context: JobContext, document_id: str, request_id: str) -> None:
        structlog.contextvars.bind_contextvars(request_id=request_id)
        job = context.job
        log = get_logger()
        if job.attempts >= attempts:
            # Only a job that keeps ending its worker comes here; the rest is counted below.
            await ingestion.give_up(UUID(document_id), GAVE_UP.format(attempts=job.attempts))
            return
        try:
            await ingestion.run(UUID(document_id))
        except asyncio.CancelledError:
            log.warning("ingestion_interrupted", document_id=document_id)
            raise Interrupted from None
        except Exception as error:
            log.exception(
                "ingestion_failed",
                document_id=document_id,
                attempt=job.attempts + 1,
                of=attempts,
                cause=type(error).__name__,
            )
            if job.attempts + 1 < attempts:
                raise
            await ingestion.give_up(UUID(document_id), GAVE_UP.format(attempts=attempts))
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    queue.task(name=TASK, queue=QUEUE, retry=_Retry(attempts), pass_context=True)(ingest)


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
