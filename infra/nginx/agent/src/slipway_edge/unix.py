"""HTTP over a Unix socket, both ends."""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
from pathlib import Path


class UnixConnection(http.client.HTTPConnection):
    """HTTP to the Unix socket at ``path``; ``timeout`` is in seconds per operation."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket; raises OSError when nothing listens there."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A threading HTTP server on a Unix socket; a file left by a killed predecessor is replaced."""

    daemon_threads = True
    request_queue_size = 16

    def server_bind(self) -> None:
        """Bind to the path; only the edge's own user and group may connect."""
        Path(str(self.server_address)).unlink(missing_ok=True)
        super().server_bind()
        Path(str(self.server_address)).chmod(0o660)


def exchange(
    path: Path, method: str, target: str, body: object = None, timeout: float = 2.0
) -> tuple[int, object]:
    """Send one request with an optional JSON body; return the status and the decoded answer.

    Raises OSError or http.client.HTTPException when there is no answer, ValueError when it is
    not JSON.
    """
    connection = UnixConnection(path, timeout)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, target, payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()
