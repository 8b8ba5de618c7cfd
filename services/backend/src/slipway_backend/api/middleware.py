"""What happens around every request: its id, its figures, its log line."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_backend.api.problems import failure
from slipway_backend.api.state import Lifecycle
from slipway_backend.database import note_processes, noted_processes
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics

# A question of the longest kind, every character escaped, fits.
MAX_BODY_BYTES = 64 * 1024
# These bring a conversation along.
MAX_CONVERSATION_BYTES = 1024 * 1024
CONVERSATIONS = ("/v1/query", "/v1/chat/completions")
# As the edge takes them: it repeats a request that it sends again under the same id.
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")


class RequestContext:
    """Gives each request an id, counts and times it, and says goodbye politely while draining."""

    def __init__(
        self, app: ASGIApp, *, generation: str, metrics: Metrics, lifecycle: Lifecycle
    ) -> None:
        self._app = app
        self._generation = generation
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid4().hex
        scope["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        note_processes()
        started = time.perf_counter()
        status = 500
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status = message["status"]
                begun = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-slipway-generation"] = self._generation
                if self._lifecycle.draining:
                    headers["connection"] = "close"
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, _bounded(scope, receive), send_with_headers)
        except Exception as error:
            # Here, because whatever answers further out knows nothing of these headers.
            answer = failure(Request(scope), error)
            if begun:
                raise
            await answer(scope, receive, send_with_headers)
        finally:
            self._metrics.in_flight.dec()
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The template, never the path: figures per document id would grow without end.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
        quiet = route.startswith("/health") or route == "/metrics"
        log = get_logger()
        (log.debug if quiet else log.info)(
            "request",
            method=method,
            route=route,
            status=status,
            seconds=round(seconds, 4),
            **noted_processes(),
        )


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Refuse bodies that would be held in memory and are larger than any question."""
    # Uploads go to disk as they arrive and have a limit of their own.
    if scope["path"].startswith("/v1/documents"):
        return receive
    received = 0
    most = MAX_CONVERSATION_BYTES if scope["path"] in CONVERSATIONS else MAX_BODY_BYTES

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(
                413, f"The request's body is larger than the {most} bytes accepted here."
            )
        return message

    return receive_bounded


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
