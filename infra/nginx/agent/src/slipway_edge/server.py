"""The agent's own HTTP interface on a Unix socket, for the command line."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from slipway_edge.agent import Agent
from slipway_edge.errors import EdgeError, Refused
from slipway_edge.maintenance import Maintenance
from slipway_edge.unix import UnixServer

_GENERATION = re.compile(r"/(switch|candidate)/([1-9][0-9]{0,8})")


def serve(agent: Agent, path: Path) -> UnixServer:
    """A server for ``agent`` at ``path``, bound but not yet running."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, value = answer(agent, self.command, self.path, body)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: what the agent does, it logs itself."""

    return UnixServer(str(path), Handler)


def answer(agent: Agent, method: str, target: str, body: bytes) -> tuple[int, object]:
    """Status and content for one request to the agent."""
    try:
        return _routed(agent, method, target, body)
    except Refused as refusal:
        return 409, {"refused": str(refusal), **refusal.facts}
    except EdgeError as error:
        return 502, {"error": str(error)}


def _routed(agent: Agent, method: str, target: str, body: bytes) -> tuple[int, object]:
    status = 200
    value: dict[str, object] = {}
    match method, target:
        case "GET", "/status":
            value = agent.status()
        case "POST", "/round":
            agent.wake()
            status = 202
        case "GET", "/maintenance":
            value = _maintenance(agent.maintenance)
        case "PUT", "/maintenance":
            value = _maintenance(agent.maintain(_message(body)))
        case "POST", _ if match := _GENERATION.fullmatch(target):
            act = agent.switch if match[1] == "switch" else agent.offer
            value = act(int(match[2]))
        case _:
            status, value = 404, {"error": f"nothing at {target}"}
    return status, value


def _message(body: bytes) -> str | None:
    """What callers shall be told; None when they shall be let in. Raises Refused when unclear."""
    try:
        asked = json.loads(body)
        return str(asked["message"]) if asked["on"] else None
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"expected an object with on and message: {error!r}") from error


def _maintenance(state: Maintenance | None) -> dict[str, object]:
    return {"on": False} if state is None else state.document()
