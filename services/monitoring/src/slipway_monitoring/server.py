"""A server that answers GET alone, each path by a function without arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from slipway_monitoring.errors import MonitoringError

Answer = Callable[[], tuple[str, bytes]]


def figures(registry: CollectorRegistry) -> Answer:
    """Answers with everything in the registry."""
    return lambda: (CONTENT_TYPE_LATEST, generate_latest(registry))


def as_json(value: Callable[[], object]) -> Answer:
    """Answers with a value as JSON."""
    return lambda: ("application/json", json.dumps(value()).encode())


def make(host: str, port: int, paths: Mapping[str, Answer]) -> ThreadingHTTPServer:
    """A server that is bound and does not run yet. It never reads what is sent to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = paths.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(404)
                return
            try:
                kind, body = answer()
            except MonitoringError as error:
                self._send(503, "application/json", json.dumps({"error": str(error)}).encode())
                return
            self._send(200, kind, body)

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: it is asked all the time."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server
