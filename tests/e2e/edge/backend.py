"""A tiny backend for the edge's tests; runs inside a container, given as the text of a command.

Answers after a few milliseconds, knows its generation, turns not-ready on SIGTERM and serves on for
two seconds, as a real backend does.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

draining = threading.Event()
if os.environ.get("READY", "yes") != "yes":
    draining.set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 75

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health/ready":
            self.answer(503 if draining.is_set() else 200, {"ready": not draining.is_set()})
        elif path == "/stream":
            self.stream()
        elif path == "/slow":
            time.sleep(float(self.path.partition("?")[2]))
            self.answer(200, {})
        elif path == "/code":
            self.answer(int(self.path.partition("?")[2]), {})
        elif path == "/torn":
            self.tear()
        else:
            time.sleep(0.005)
            self.answer(200, {"path": self.path, "headers": dict(self.headers.items())})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        size = left
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        self.answer(200, {"bytes": size})

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(int(self.path.partition("?")[2] or 3)):
            self.wfile.write(f"data: {number}\n\n".encode())
            self.wfile.flush()
            time.sleep(1)
        self.close_connection = True

    def tear(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n")
        self.wfile.flush()
        self.close_connection = True

    def answer(self, status: int, value: object) -> None:
        body = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if body:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Slipway-Generation", os.environ["GENERATION"])
        if status == 503:
            self.send_header("Retry-After", "7")
        if draining.is_set():
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256


def drain(number: int, frame: FrameType | None) -> None:
    draining.set()
    threading.Timer(2, server.shutdown).start()


signal.signal(signal.SIGTERM, drain)
server = Server(("", int(os.environ.get("PORT", "8000"))), Handler)
server.serve_forever()
server.socket.close()
os._exit(0)
