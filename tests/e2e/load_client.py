"""One HTTP/1.1 exchange over TLS on asyncio's streams, with what a lost one needs to be understood.

It repeats nothing and hides nothing: no redirects, no second try on another connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

LINE_LIMIT = 1 << 20
NO_BODY = frozenset({204, 304})


@dataclass(frozen=True)
class Request:
    """What is sent; `seconds` is how long the whole answer may take."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 30.0


@dataclass(frozen=True)
class Response:
    """What came back; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def generation(self) -> str:
        """The generation that answered, empty where nobody said."""
        return self.headers.get("x-slipway-generation", "")


class Connection:
    """A connection to one address; `stage` is how far its exchange has come."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self.host, self.port = host, port
        self._context = context
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.stage = "connect"
        self.exchanges = 0
        self.opened = self.used = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the connection was begun."""
        return time.monotonic() - self.opened

    @property
    def idle(self) -> float:
        """Seconds since the last exchange ended."""
        return time.monotonic() - self.used if self.exchanges else 0.0

    @property
    def open(self) -> bool:
        """Whether neither side has closed it, as far as this side can know."""
        if self._reader is None or self._writer is None:
            return False
        return not (self._reader.at_eof() or self._writer.transport.is_closing())

    async def exchange(self, request: Request, *, keep: bool) -> Response:
        """Send one request and read its whole answer.

        Raises OSError (with TimeoutError) or EOFError when no whole answer came.
        """
        async with asyncio.timeout(request.seconds):
            if self._writer is None:
                self.stage = "connect"
                self._reader, self._writer = await asyncio.open_connection(
                    self.host, self.port, ssl=self._context, limit=LINE_LIMIT
                )
            self.stage = "send"
            self._writer.write(_bytes(request, self.host, self.port, keep=keep))
            await self._writer.drain()
            self.stage = "answer"
            assert self._reader is not None
            response = await self._read(self._reader, request.method)
        self.stage = "idle"
        self.exchanges += 1
        self.used = time.monotonic()
        if response.headers.get("connection", "").lower() == "close":
            self.close()
        return response

    def close(self) -> None:
        """Close at once; an answer still due is given up."""
        if self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, method: str) -> Response:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(first.split(" ", 2)[1])
        self.stage = "body"
        if status in NO_BODY or method == "HEAD":
            body = b""
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
            self.close()
        return Response(status, headers, body)


def _bytes(request: Request, host: str, port: int, *, keep: bool) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {host}:{port}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if request.body or request.method not in {"GET", "HEAD"}:
        lines.append(f"Content-Length: {len(request.body)}")
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";", 1)[0], 16)
        part = await reader.readexactly(size + 2)
        if not size:
            return b"".join(parts)
        parts.append(part[:-2])


def require_this_machine(host: str) -> None:
    """Raise ValueError when an address of `host` is not one of this machine."""
    for family, kind, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((address[0], 0))
            except OSError:
                raise ValueError(
                    f"{host} ({address[0]}) is not an address of this machine"
                ) from None
