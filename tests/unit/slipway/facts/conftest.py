"""An engine's interface on a Unix socket, as much of it as reading a host's facts needs."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Container, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

import pytest


class SocketEngine(socketserver.ThreadingUnixStreamServer):
    """Answers with `version`; has `images` and `containers`; reaches a registry with `offered`."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = "26.1.5"
        self.images: set[str] = set()
        self.containers: dict[str, dict[str, object]] = {}
        self.offered: set[str] = set()
        super().__init__(str(path), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: SocketEngine

    def do_GET(self) -> None:
        path = unquote(re.sub(r"^/v1\.\d+", "", self.path))
        if path == "/version":
            self._say(200, {"Version": self.server.version, "ApiVersion": "1.45"})
        elif path == "/info":
            self._say(200, {"Driver": "overlay2", "DockerRootDir": str(self.server.path.parent)})
        elif found := re.fullmatch(r"/images/(.+)/json", path):
            self._named(found.group(1), self.server.images, {"Id": "sha256:0"})
        elif found := re.fullmatch(r"/containers/(.+)/json", path):
            containers = self.server.containers
            self._named(found.group(1), containers, containers.get(found.group(1), {}))
        elif found := re.fullmatch(r"/distribution/(.+)/json", path):
            self._named(found.group(1), self.server.offered, {"Descriptor": {}, "Platforms": []})
        else:
            self._say(404, {"message": path})

    def _named(self, name: str, known: Container[str], body: dict[str, object]) -> None:
        if name in known:
            self._say(200, body)
        else:
            self._say(404, {"message": f"there is no {name}"})

    def _say(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketEngine]:
    """An engine that answers, and that DOCKER_HOST names."""
    server = SocketEngine(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{server.path}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where an engine's socket could be, and is not."""
    path = tmp_path / "absent.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder
