"""The worker process: takes ingestion jobs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable

import procrastinate
from prometheus_client import start_http_server

from slipway_backend import background
from slipway_backend.database import (
    TRANSIENT,
    Pool,
    check_connection_settings,
    check_schema,
    make_pool,
)
from slipway_backend.embedding import Embedder
from slipway_backend.embedding.provider import load_embedder
from slipway_backend.embedding_sets.build import Builder
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.errors import StartRefused
from slipway_backend.files import FileStore
from slipway_backend.ingestion import Ingestion
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.parsing.sandbox import Parsers
from slipway_backend.queue import (
    LANES,
    Lane,
    add_ingestion,
    make_queue,
    open_queue,
    queues_of,
    requeue_stalled,
)
from slipway_backend.search.index_health import check_serving
from slipway_backend.settings import Settings
from slipway_backend.sweep import forget, sweep

HEARTBEAT_SECONDS = 5.0
SHUTDOWN_SECONDS = 20.0
RESTART_SECONDS = 2.0
SWEEP_SECONDS = 600.0


async def run_worker(settings: Settings, *, embedder: Embedder | None = None) -> None:
    """Work until SIGTERM or SIGINT; a lost database is waited for.

    A job that does not finish within the shutdown time goes back to the queue.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics(settings.monitoring)
    if settings.worker_metrics_port:
        start_http_server(settings.worker_metrics_port, registry=metrics.registry)
    if embedder is None:
        embedder = await asyncio.to_thread(load_embedder, settings)
    files = FileStore(settings.files_directory)
    files.prepare()
    log = get_logger()
    metrics.embedder.labels(embedder.name, embedder.runtime).set(1)
    log.info("worker_starting", model=embedder.name, runtime=embedder.runtime)
    while not stop.is_set():
        pool = make_pool(settings.require_database(), size=settings.database_pool, timeout=5.0)
        try:
            async with pool:
                await check_schema(pool)
                await check_connection_settings(pool)
                sets = EmbeddingSets(settings, pool, embedder)
                async with sets.followed(), Parsers() as parsers:
                    ingestion = Ingestion(settings, pool, files, sets, metrics, parsers)
                    await _work(ingestion, pool, settings, stop)
        except StartRefused:
            raise
        except Exception as error:
            if stop.is_set():
                break
            transient = isinstance(error, TRANSIENT)
            log.warning(
                "worker_interrupted",
                cause=type(error).__name__,
                transient=transient,
                exc_info=not transient,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RESTART_SECONDS)
    settings.worker_heartbeat_file.unlink(missing_ok=True)
    log.info("worker_stopped")


async def _work(ingestion: Ingestion, pool: Pool, settings: Settings, stop: asyncio.Event) -> None:
    queue = make_queue()
    add_ingestion(queue, ingestion)
    await open_queue(queue, pool)
    lanes = [asyncio.create_task(_run_lane(queue, lane, settings)) for lane in LANES]
    beat = asyncio.create_task(_beat(queue, ingestion))
    sweeping = asyncio.create_task(_sweep(ingestion))
    checking = asyncio.create_task(_check_index(ingestion))
    builder = Builder(settings, pool, ingestion.sets, ingestion.metrics)
    building = asyncio.create_task(builder.run())
    stopping = asyncio.create_task(stop.wait())
    tasks = (*lanes, beat, sweeping, checking, building, stopping)
    get_logger().info("worker_ready")
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # A lane that is told twice gives its jobs up.
        for lane in lanes:
            lane.cancel()
        await background.end(beat, sweeping, checking, building, stopping)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _run_lane(queue: procrastinate.App, lane: Lane, settings: Settings) -> None:
    await queue.run_worker_async(
        queues=queues_of(lane),
        concurrency=settings.small_jobs if lane == "small" else settings.large_jobs,
        name=f"slipway-{lane}",
        delete_jobs="successful",
        install_signal_handlers=False,
        shutdown_graceful_timeout=SHUTDOWN_SECONDS,
        update_heartbeat_interval=_pause(settings),
        stalled_worker_timeout=settings.stalled_seconds,
    )


async def _sweep(ingestion: Ingestion) -> None:
    """Remove what crashes left in the file store and rows past their time, now and then."""
    while True:
        pool, days = ingestion.pool, ingestion.settings.audit_days
        await _tidy("sweep_failed", sweep(pool, ingestion.files))
        await _tidy("forget_failed", forget(pool, audit_days=days))
        await asyncio.sleep(SWEEP_SECONDS)


async def _check_index(ingestion: Ingestion) -> None:
    """Measure now and then what the vector index finds, which nothing but searches would tell."""
    pause = ingestion.settings.index_check_seconds
    while pause:
        await _tidy("index_check_failed", _measure_index(ingestion))
        await asyncio.sleep(pause)
    await asyncio.Event().wait()


async def _measure_index(ingestion: Ingestion) -> None:
    health = await check_serving(ingestion.pool)
    if health is None or not health.samples:
        return
    ingestion.metrics.index_recall.set(health.recall)
    log = get_logger()
    (log.info if health.healthy else log.error)(
        "index_checked" if health.healthy else "index_damaged",
        recall=round(health.recall, 3),
        samples=health.samples,
    )


async def _tidy(event: str, work: Awaitable[object]) -> None:
    # Whatever is wrong with it, documents are ingested all the same.
    try:
        await work
    except Exception as error:
        transient = isinstance(error, (OSError, *TRANSIENT))
        get_logger().warning(event, cause=type(error).__name__, exc_info=not transient)


def _pause(settings: Settings) -> float:
    """Seconds between signs of life; several fit into the time after which a worker is dead."""
    return min(HEARTBEAT_SECONDS, settings.stalled_seconds / 4)


async def _beat(queue: procrastinate.App, ingestion: Ingestion) -> None:
    """Show that this worker lives and reaches the database; pick up what dead workers left."""
    settings = ingestion.settings
    while True:
        await requeue_stalled(queue, settings.stalled_seconds)
        settings.worker_heartbeat_file.touch()
        await asyncio.sleep(_pause(settings))
