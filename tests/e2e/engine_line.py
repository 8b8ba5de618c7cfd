"""A connection to the Docker engine that can be cut, as a network or an SSH connection is."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 16


class EngineLine:
    """A Unix socket that passes everything on to the engine's own, until it is cut."""

    def __init__(self, path: Path, engine: str) -> None:
        self.path = path
        self._engine = engine
        self._cut = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """What DOCKER_HOST is set to."""
        return f"unix://{self.path}"

    def cut(self) -> None:
        """End every connection in the middle of what it says, and take no new one."""
        self._cut.set()
        with self._lock:
            for each in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            with self._lock:
                if self._cut.is_set():
                    client.close()
                    engine.close()
                    return
                self._open += [client, engine]
            for one, other in ((client, engine), (engine, client)):
                threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(CHUNK):
            other.sendall(data)
        # Each direction ends by itself: an exec's input is over long before its output.
        other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def engine_line(folder: Path, engine: str = "/var/run/docker.sock") -> Iterator[EngineLine]:
    """A line to the engine at the socket `engine`; it is cut at the latest when the block ends."""
    made = EngineLine(folder / "engine.sock", engine)
    try:
        yield made
    finally:
        made.cut()
