"""Answers that come in pieces: server-sent events that end when the client goes, and begin late.

A stream's first piece decides how it is answered: what fails before it is a problem with its own
status, as if nothing had been streamed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from slipway_backend import background
from slipway_backend.logs import get_logger

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"
MEDIA_TYPE = "text/event-stream"
# A client that reads slowly slows down what is read for it.
_AHEAD = 16
T = TypeVar("T")


def event(data: object, *, name: str | None = None) -> bytes:
    """One server-sent event with JSON data."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


class EventStream(Response):
    """Sends what a generator yields; closes the generator as soon as nobody listens.

    What the generator raises before its first event is raised; later, ``tell`` makes an event of
    it, which is the last.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        tell: Callable[[Exception], bytes],
        # FastAPI reads the default to describe a route that answers with this class.
        status_code: int = 200,
    ) -> None:
        super().__init__(
            status_code=status_code,
            headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
        )
        del self.headers["content-length"]
        self._events = events
        self._tell = tell
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it; raise ClientDisconnect when nobody listened long enough for its beginning."""
        try:
            await _until_gone(receive, lambda: self._send(send))
        except ClientDisconnect:
            # Who leaves in the middle has been answered as far as they cared.
            if not self._begun:
                raise
            get_logger().info("stream_left")

    async def _send(self, send: Send) -> None:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        producer = asyncio.create_task(self._produce(queue))
        try:
            while True:
                piece = await _next_or_heartbeat(queue)
                last = piece is None
                if last:
                    try:
                        await producer
                    except Exception as error:
                        if not self._begun:
                            raise
                        piece = self._tell(error)
                if not self._begun:
                    self._begun = True
                    start = {"status": self.status_code, "headers": self.raw_headers}
                    await send({"type": "http.response.start", **start})
                body = {"body": piece or b"", "more_body": not last}
                await send({"type": "http.response.body", **body})
                if last:
                    return
        finally:
            await background.end(producer)

    async def _produce(self, queue: asyncio.Queue[bytes | None]) -> None:
        try:
            async with aclosing(self._events) as events:
                async for piece in events:
                    await queue.put(piece)
        except Exception:
            await queue.put(None)
            raise
        await queue.put(None)


async def _next_or_heartbeat(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    try:
        return await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
    except TimeoutError:
        return HEARTBEAT


async def while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Return what ``work`` returns; cancel it and raise ClientDisconnect when the client goes."""
    return await _until_gone(request.receive, work)


async def _until_gone(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    working = asyncio.ensure_future(work())
    watching = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        await background.end(working, watching)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
