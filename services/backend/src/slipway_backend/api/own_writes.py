"""Who changed something sees it in their next reads, whichever server answers those."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_backend.access import Identity
from slipway_backend.api.audit import READS, action_of
from slipway_backend.database import TRANSIENT
from slipway_backend.logs import get_logger
from slipway_backend.replicas import Reads

# Below these it is decided who may read what, which holds for everybody at once.
ACCESS = ("/v1/collections", "/v1/groups", "/v1/users")


class OwnWrites:
    """Remembers every change that succeeded before its answer begins."""

    def __init__(self, app: ASGIApp, *, reads: Reads) -> None:
        self._app = app
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        known = scope.setdefault("state", {})

        async def remember_first(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                await self._remember(scope, known.get("identity"))
            await send(message)

        await self._app(scope, receive, remember_first)

    async def _remember(self, scope: Scope, identity: Identity | None) -> None:
        template = getattr(scope.get("route"), "path", "")
        if identity is None or action_of(scope["method"], template) in READS:
            return
        try:
            await self._reads.wrote(identity, access=template.startswith(ACCESS))
        except TRANSIENT as error:
            # The change itself is committed and must not look like one that failed.
            get_logger().warning("write_not_remembered", cause=type(error).__name__)
