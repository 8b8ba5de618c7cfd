"""The agent's own HTTP interface on a Unix socket, for the command line."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from slipway_edge.agent import Agent
from slipway_edge.errors import EdgeError, Refused
from slipway_edge.unix import UnixServer

_SWITCH = re.compile(r"/switch/([1-9][0-9]{0,8})")


def serve(agent: Agent, path: Path) -> UnixServer:
    """A server for ``agent`` at ``path``, bound but not yet running."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/status":
                self._send(404, {"error": f"nothing at {self.path}"})
                return
            try:
                self._send(200, agent.status())
            except EdgeError as error:
                self._send(502, {"error": str(error)})

        def do_POST(self) -> None:
            match = _SWITCH.fullmatch(self.path)
            if self.path == "/round":
                agent.wake()
                self._send(202, {})
            elif match is None:
                self._send(404, {"error": f"nothing at {self.path}"})
            else:
                try:
                    self._send(200, agent.switch(int(match.group(1))))
                except Refused as refusal:
                    self._send(409, {"refused": str(refusal), **refusal.facts})

        def _send(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: what the agent does, it logs itself."""

    return UnixServer(str(path), Handler)
