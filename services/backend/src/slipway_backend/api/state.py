"""What an app holds while it runs, and how routes reach it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Annotated

import anyio
import procrastinate
from fastapi import Depends, Request

from slipway_backend.answers import Answerer
from slipway_backend.audit import AuditLog
from slipway_backend.changes import Changes
from slipway_backend.database import PatientPool, Pool
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.files import FileStore
from slipway_backend.metrics import Metrics
from slipway_backend.oidc import Provider
from slipway_backend.replicas import Reads
from slipway_backend.search import Searcher
from slipway_backend.security import TokenKeys
from slipway_backend.settings import Settings


@dataclass
class Lifecycle:
    """Whether this process still wants new work, and when it last reached the database."""

    draining: bool = False
    reached_at: float = 0.0
    orphans_counted_at: float = -math.inf


def _one_per_core() -> anyio.CapacityLimiter:
    # A check of a password takes a core and 19 MiB; many at once would exhaust the container.
    return anyio.CapacityLimiter(os.cpu_count() or 1)


@dataclass(frozen=True)
class State:
    """Everything that routes use."""

    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    pool: PatientPool
    health_pool: Pool
    reads: Reads
    queue: procrastinate.App
    files: FileStore
    sets: EmbeddingSets
    searcher: Searcher
    answerer: Answerer
    audit: AuditLog
    token_keys: TokenKeys
    changes: Changes
    provider: Provider | None = None
    password_checks: anyio.CapacityLimiter = field(default_factory=_one_per_core)
    embedding_requests: anyio.CapacityLimiter = field(default_factory=_one_per_core)


async def get_state(request: Request) -> State:
    """Return the running app's state."""
    # Asynchronous, because anything else takes a turn in a thread for every request.
    state = request.app.state.slipway
    if not isinstance(state, State):
        raise TypeError("the app has not been started")
    return state


StateDependency = Annotated[State, Depends(get_state)]
