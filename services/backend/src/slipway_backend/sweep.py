"""Removing what nobody needs any more: files that a crash left behind, and rows past their time."""

from __future__ import annotations

import time

import anyio.to_thread

from slipway_backend import audit, contents, sessions, throttle
from slipway_backend.database import Pool
from slipway_backend.files import FileStore
from slipway_backend.logs import get_logger

ORPHAN_SECONDS = 3600.0
BATCH = 1000


async def sweep(pool: Pool, files: FileStore, *, age_seconds: float = ORPHAN_SECONDS) -> int:
    """Remove files older than ``age_seconds`` that no document has; return how many.

    A database without any document removes nothing: it may be new while the files are not.
    """
    moment = time.time() - age_seconds
    removed = await anyio.to_thread.run_sync(files.forget_uploads_before, moment)
    kept = await anyio.to_thread.run_sync(files.kept_before, moment)
    async with pool.connection() as connection:
        if kept and await contents.any_document(connection):
            for start in range(0, len(kept), BATCH):
                orphans = await contents.unused(connection, kept[start : start + BATCH])
                removed += await contents.remove_unused(connection, files, orphans)
    if removed:
        get_logger().warning("orphaned_files_removed", files=removed)
    return removed


async def forget(pool: Pool, *, audit_days: int) -> None:
    """Remove audit entries older than ``audit_days``, sessions that ended and failed logins."""
    async with pool.connection() as connection:
        entries = await audit.forget_before(connection, days=audit_days)
        ended = await sessions.forget_ended(connection)
        failures = await throttle.forget_old(connection)
        await throttle.forget_addresses(connection)
    if entries or ended or failures:
        get_logger().info("forgotten", audit=entries, sessions=ended, login_failures=failures)
