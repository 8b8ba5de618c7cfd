"""Work that goes on beside requests, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

# Longer than psycopg takes to have a statement cancelled (5 s), which is not to be cut off.
AGAIN_SECONDS = 6.0


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Keep work going until the end of the block; what it raises is its own affair."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end(task)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until all of them have ended.

    Once is not enough before Python 3.12: `asyncio.wait_for`, with which a pool waits for a free
    connection, loses a cancellation that comes together with the connection
    (https://github.com/python/cpython/issues/86296), and the task would go on for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    # Whoever ends a task has no use for what it raised; asked for once, nobody warns of it.
    await asyncio.gather(*tasks, return_exceptions=True)
