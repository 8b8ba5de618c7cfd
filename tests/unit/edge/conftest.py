"""Real backends and real Unix sockets; only NGINX's internal endpoint is a stand-in."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from slipway_edge.agent import Agent
from slipway_edge.nginx import Nginx
from slipway_edge.probe import Probe
from slipway_edge.server import serve
from slipway_edge.store import Store
from slipway_edge.unix import UnixServer


class Backend:
    """A backend on its own loopback address that answers /health/ready as it is told."""

    def __init__(self, host: str, port: int = 0, stated: str | None = None) -> None:
        self.status = 200
        self.stated = stated
        self.body = b""
        self.hold = threading.Event()
        self.hold.set()
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                backend.hold.wait(10)
                found = self.path == "/health/ready"
                self.send_response(backend.status if found else 404)
                if backend.stated is not None:
                    self.send_header("X-Slipway-Generation", backend.stated)
                self.send_header("Content-Length", str(len(backend.body)))
                self.end_headers()
                self.wfile.write(backend.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.port = self._server.server_port
        self.address = f"{host}:{self.port}"

    def die(self) -> None:
        """Stop listening."""
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class StandIn:
    """NGINX's internal endpoint as the agent sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.peers: dict[str, Any] = {"generation": 0, "ready": 0, "addresses": []}
        self.in_flight: dict[str, dict[str, int]] = {}
        self.figures: dict[str, Any] = {}
        self.maintenance: dict[str, Any] = {"on": False}
        self.drain: dict[str, Any] = {"on": False}
        self.candidate: dict[str, Any] = {}
        self.status = 200
        self.mangle: Callable[[dict[str, Any]], object] = lambda answer: answer
        self.puts = 0
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/alive":
                    self.send_response(204)
                    self.end_headers()
                else:
                    self.answer()

            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/drain":
                    stand_in.drain = body
                elif self.path == "/maintenance":
                    stand_in.maintenance = body if stand_in.status == 200 else {}
                elif self.path == "/candidate":
                    stand_in.candidate = body if stand_in.status == 200 else {}
                else:
                    stand_in.puts += 1
                    if stand_in.status == 200:
                        stand_in.peers = body
                self.answer()

            def answer(self) -> None:
                peers = {**stand_in.peers, "in_flight": stand_in.in_flight}
                values = {
                    "/figures": stand_in.figures,
                    "/maintenance": stand_in.maintenance,
                    "/drain": stand_in.drain,
                    "/candidate": {
                        key: stand_in.candidate.get(key) for key in ("generation", "addresses")
                    },
                }
                value = values[self.path] if self.path in values else stand_in.mangle(peers)
                body = json.dumps(value).encode()
                self.send_response(stand_in.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = UnixServer(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening; the socket's file stays, as after a kill."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Site:
    """An agent, its folder, a stand-in NGINX and a table of names for a name server."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.names: dict[str, tuple[str, ...]] = {}
        self.nginx = StandIn(folder / "nginx.sock")
        stack.callback(self.nginx.close)
        self.probe = Probe(seconds=0.3)
        stack.callback(self.probe.close)
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        """An agent that starts from what is on disk."""
        return Agent(
            Nginx(self.folder / "nginx.sock"),
            Store(self.folder / "peers.json"),
            self.probe,
            "backend-g",
            8000,
            self.folder / "maintenance.json",
            self.resolve,
        )

    def resolve(self, name: str, port: int) -> tuple[str, ...]:
        """What the name server says."""
        if name not in self.names:
            raise OSError("name or service not known")
        return self.names[name]

    def backend(self, generation: int, host: str, **options: Any) -> Backend:
        """Start a backend and add it to its generation's name."""
        backend = Backend(host, **options)
        self._stack.callback(backend.die)
        name = f"backend-g{generation}"
        self.names[name] = (*self.names.get(name, ()), backend.address)
        return backend

    def serve(self) -> None:
        """Let the agent answer on its socket."""
        server = serve(self.agent, self.folder / "agent.sock")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)

    @property
    def serving(self) -> list[str]:
        """The addresses NGINX was last given."""
        return list(self.nginx.peers["addresses"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without any backend yet."""
    with ExitStack() as stack:
        yield Site(tmp_path, stack)
