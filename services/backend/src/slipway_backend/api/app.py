"""The app: its parts put together, started and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio.to_thread
import httpx
from fastapi import FastAPI
from psycopg_pool import PoolTimeout

from slipway_backend import __version__, background
from slipway_backend.answers import Answerer
from slipway_backend.api.audit import AuditTrail
from slipway_backend.api.limits import Limits
from slipway_backend.api.middleware import RequestContext
from slipway_backend.api.own_writes import OwnWrites
from slipway_backend.api.problems import add_problem_handlers
from slipway_backend.api.routes import (
    audit,
    chat,
    collections,
    documents,
    embeddings,
    events,
    files,
    grants,
    groups,
    health,
    keys,
    login,
    models,
    oidc,
    query,
    search,
    users,
)
from slipway_backend.api.state import Lifecycle, State
from slipway_backend.audit import AuditLog
from slipway_backend.changes import Changes
from slipway_backend.database import (
    Pool,
    check_connection_settings,
    check_schema,
    make_pool,
)
from slipway_backend.embedding import Embedder
from slipway_backend.embedding.provider import load_embedder
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.errors import StartRefused
from slipway_backend.files import FileStore
from slipway_backend.llm import LanguageModel
from slipway_backend.llm.ollama import kept_loaded
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.oidc import Provider
from slipway_backend.queue import make_queue, open_queue
from slipway_backend.replicas import Reads
from slipway_backend.search import Reranker, Searcher, StageSampler
from slipway_backend.security import TokenKeys
from slipway_backend.settings import Settings

DESCRIPTION = """
Documents in, cited answers out.

Log in with `POST /v1/login`, upload with `POST /v1/documents`, ask with `POST /v1/query`. Uploads
answer at once; `GET /v1/documents/{document_id}` tells how far ingestion is. Every error is
problem+json (RFC 9457) and carries the id under which the logs know the request.
"""
START_SECONDS = 30.0
# Before the primary answers instead.
REPLICA_SECONDS = 0.3


def make_app(state: State) -> FastAPI:
    """Return the app that works on a started state."""
    app = FastAPI(
        title="Slipway",
        version=__version__,
        description=DESCRIPTION,
        # Its page takes scripts from a public host, which a restricted site does not reach.
        docs_url=None,
        redoc_url=None,
    )
    app.state.slipway = state
    app.add_middleware(OwnWrites, reads=state.reads)
    app.add_middleware(AuditTrail, log=state.audit)
    # The last one added is the first one asked.
    app.add_middleware(Limits, settings=state.settings, metrics=state.metrics)
    app.add_middleware(
        RequestContext,
        generation=state.settings.generation,
        metrics=state.metrics,
        lifecycle=state.lifecycle,
    )
    add_problem_handlers(app)
    for routes in (
        login,
        oidc,
        documents,
        files,
        events,
        collections,
        search,
        query,
        chat,
        models,
        embeddings,
        users,
        groups,
        grants,
        keys,
        audit,
        health,
    ):
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def started(
    settings: Settings,
    *,
    lifecycle: Lifecycle | None = None,
    load: Callable[[Settings], Embedder] = load_embedder,
) -> AsyncIterator[State]:
    """Connect, check and load everything that requests need; close it all afterwards.

    Raises StartRefused when the process cannot work as configured.
    """
    settings.require_jwt_secret()
    with_model = bool(settings.require_language_model())
    settings.require_reranker()
    settings.require_oidc()
    conninfo = settings.require_database()
    metrics = Metrics(settings.monitoring)
    metrics.build.labels(
        settings.release, settings.generation, __version__, settings.monitoring
    ).set(1)
    store = FileStore(settings.files_directory)
    try:
        store.prepare()
    except OSError as error:
        raise StartRefused(
            f"FILES_DIRECTORY {settings.files_directory} is not writable ({error.strerror})."
        ) from None
    embedder = await anyio.to_thread.run_sync(load, settings)
    metrics.embedder.labels(embedder.name, embedder.runtime).set(1)
    pool = make_pool(conninfo, size=settings.database_pool)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient())
        await stack.enter_async_context(pool)
        # Of its own, so that an instance that is busy is not taken for one that is not ready.
        health_pool = await stack.enter_async_context(make_pool(conninfo, size=1))
        reads = await _open_reads(stack, settings, pool, metrics)
        try:
            await pool.wait(START_SECONDS)
        except PoolTimeout:
            raise StartRefused(
                f"The database did not answer within {START_SECONDS:g} seconds: check "
                "DATABASE_URL and that PostgreSQL runs."
            ) from None
        await check_schema(pool)
        await check_connection_settings(pool)
        sets = EmbeddingSets(settings, pool, embedder)
        await stack.enter_async_context(sets.followed())
        queue = make_queue()
        await open_queue(queue, pool)
        reranker = Reranker(settings, metrics, client)
        sampler = StageSampler(pool, metrics)
        stack.push_async_callback(sampler.finish)
        searcher = Searcher(pool, sets, metrics, reads=reads, reranker=reranker, sampler=sampler)
        model = LanguageModel(settings, metrics, client) if with_model else None
        if model is not None and settings.ollama_base_url:
            await stack.enter_async_context(kept_loaded(model, settings, client))
        answerer = Answerer(settings, searcher, metrics, model, embedder.count_tokens)
        changes = Changes(conninfo, most=settings.max_event_streams)
        await stack.enter_async_context(background.running(changes.listen()))
        get_logger().info(
            "ready", model=embedder.name, runtime=embedder.runtime, mode=answerer.mode
        )
        log = await stack.enter_async_context(AuditLog(pool, settings.audit).running())
        yield State(
            settings,
            metrics,
            lifecycle or Lifecycle(),
            pool,
            health_pool,
            reads,
            queue,
            store,
            sets,
            searcher,
            answerer,
            log,
            TokenKeys(settings.jwt_secret, settings.jwt_secret_previous),
            changes,
            Provider(settings, client) if settings.require_oidc() else None,
        )


async def _open_reads(
    stack: AsyncExitStack, settings: Settings, pool: Pool, metrics: Metrics
) -> Reads:
    """Open the replicas' pool, if there are replicas; a replica that is down stops no start."""
    replica = None
    if settings.database_replica_url:
        replica = make_pool(
            settings.database_replica_url,
            size=settings.database_pool,
            timeout=REPLICA_SECONDS,
            for_reading=True,
        )
        await stack.enter_async_context(replica)
    reads = Reads(pool, replica, metrics, lag_seconds=settings.replica_lag_seconds)
    await stack.enter_async_context(background.running(reads.watch()))
    return reads
