"""Refusing what cannot be served soon, so that nothing waits in memory without end."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_backend.api.problems import problem_response
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

# Asked by the edge and by Prometheus: an instance that is busy must still be able to say so.
UNLIMITED = ("/health/", "/metrics")
RETRY_SECONDS = "1"


class Limits:
    """Bounds how many requests are answered at once, in all and per credential, and for how long.

    The time counts until an answer begins; a streamed one may go on. Uploads take as long as their
    bytes do.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._in_flight = 0
        self._by_credential: Counter[bytes] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or refuse it at once."""
        if scope["type"] != "http" or scope["path"].startswith(UNLIMITED):
            await self._app(scope, receive, send)
            return
        credential = _credential(scope)
        if self._in_flight >= self._settings.max_requests:
            await self._refuse(
                "busy",
                503,
                "Busy",
                f"This instance answers {self._in_flight} requests already: try again in a moment.",
            )(scope, receive, send)
            return
        if credential and self._by_credential[credential] >= self._settings.max_requests_per_user:
            await self._refuse(
                "user",
                429,
                "Too many requests at once",
                f"{self._by_credential[credential]} requests with this token or key are being "
                "answered already: wait for one of them.",
            )(scope, receive, send)
            return
        self._in_flight += 1
        self._by_credential[credential] += 1
        try:
            await self._in_time(scope, receive, send)
        finally:
            self._in_flight -= 1
            self._by_credential[credential] -= 1
            if not self._by_credential[credential]:
                del self._by_credential[credential]

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        uploads = scope["method"] == "POST" and scope["path"] == "/v1/documents"
        limit = asyncio.timeout(None if uploads else self._settings.request_seconds)
        begun = False

        async def send_in_time(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self._app(scope, receive, send_in_time)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            await self._refuse(
                "slow",
                503,
                "Took too long",
                f"There was no answer within {self._settings.request_seconds:g} seconds: try "
                "again, or ask for less.",
            )(scope, receive, send)

    def _refuse(self, reason: str, status: int, title: str, detail: str) -> ASGIApp:
        self._metrics.refused.labels(reason).inc()

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = problem_response(
                Request(scope), status, title, detail, headers={"Retry-After": RETRY_SECONDS}
            )
            await response(scope, receive, send)

        return answer


def _credential(scope: Scope) -> bytes:
    given = Headers(scope=scope).get("authorization", "")
    # The digest, because what is kept for counting should be of no use to who reads memory.
    return hashlib.sha256(given.encode("latin-1")).digest() if given else b""
