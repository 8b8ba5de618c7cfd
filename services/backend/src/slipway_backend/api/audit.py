"""What the audit log says about every request whose caller is known, whatever its route."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_backend.audit import AuditLog, Outcome, Trail, begin

# Routes that are asked by POST, or whose name is no plural noun.
ACTIONS = {
    "/v1/search": "search",
    "/v1/query": "query",
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embed",
    "/v1/me": "me.read",
    "/v1/me/password": "user.password",
    "/v1/documents/{document_id}/file": "file.read",
    "/v1/collections/{name}/export": "export.read",
    "/v1/audit": "audit.list",
}
READS = frozenset({"search", "query", "chat", "embed"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


class AuditTrail:
    """Gives each request its trail, and logs it at the end unless its route has."""

    def __init__(self, app: ASGIApp, *, log: AuditLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or self._log.level == "off":
            if scope["type"] == "http":
                begin(Trail("off"))
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        trail = Trail(self._log.level, scope.get("request_id"), client[0] if client else None)
        begin(trail)
        status = 500

        async def remember_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, remember_status)
        finally:
            self._finish(trail, scope, status)

    def _finish(self, trail: Trail, scope: Scope, status: int) -> None:
        outcome: Outcome = "ok" if status < 400 else "refused" if status < 500 else "failed"
        # Strangers could otherwise fill the log; their logins are logged by the login.
        if trail.identity is None or trail.written == outcome:
            return
        template = getattr(scope.get("route"), "path", "")
        action = trail.action or action_of(scope["method"], template)
        read = scope["method"] in {"GET", "HEAD"} or action in READS
        if trail.level == "writes" and read and status not in {401, 403}:
            return
        trail.action = action
        if not trail.collections and template.startswith("/v1/collections/{name}"):
            trail.collections = [str(scope["path_params"]["name"])]
        values = list(scope.get("path_params", {}).values())
        if trail.object is None and values:
            trail.object = str(values[-1])
        self._log.add(trail, outcome)


def action_of(method: str, template: str) -> str:
    """The action that a route is, from its method and path: `document.read`, `grant.list`."""
    if template in ACTIONS:
        return ACTIONS[template]
    parts = template.removeprefix("/v1/").split("/")
    nouns = [part for part in parts if not part.startswith("{")] or ["unknown"]
    noun = nouns[-1].removesuffix("s")
    if method == "POST" and noun == nouns[-1]:
        return noun
    listing = not parts[-1].startswith("{")
    verb = _VERBS.get(method) or ("list" if listing else "read")
    return f"{noun}.{verb}"
