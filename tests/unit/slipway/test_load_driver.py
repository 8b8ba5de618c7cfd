"""The load driver of the end-to-end tests and measurements counts every loss, and only losses."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from slipway.config import certificates

sys.path[:0] = [str(Path(__file__).parents[2] / "e2e")]

from load import Load  # noqa: E402
from load_client import Response  # noqa: E402
from traffic import LAST_WORDS, whole  # noqa: E402

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Slipway-Generation: 7\r\n\r\nok"


class Server:
    """A TLS server that does with its Nth request what a test says."""

    def __init__(self, folder: Path) -> None:
        made = certificates.generate("localhost", datetime.datetime.now(datetime.UTC))
        for name in ("ca.crt", "tls.crt", "tls.key"):
            (folder / name).write_text(made[name])
        self.ca_file = folder / "ca.crt"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listening = threading.Event()
        self.told = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self.answer: Answer = _ok
        self.requests = 0
        self.connections = 0
        self.url = ""

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def tell(self) -> None:
        """Set `told` for the answers that wait for it."""
        self._loop.call_soon_threadsafe(self.told.set)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "localhost", 0, ssl=self._context)
        self.url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        self._listening.set()
        await self._ended.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, EOFError):
            while not writer.transport.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self.answer(self.requests, writer)
                if b"Connection: close" in head:
                    break
        writer.transport.abort()


async def _ok(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    await writer.drain()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as made:
        yield made


def test_half_of_the_requests_come_on_kept_and_half_on_fresh_connections(server: Server) -> None:
    result = Load(server.url, server.ca_file, 100, 0.6).run()
    assert (result.lost, result.ok, server.requests) == (0, result.sent, result.sent)
    assert result.sent >= 50
    assert result.sent // 2 < server.connections < result.sent
    assert set(result.generations) == {"7"}


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"", "IncompleteReadError"),
        (OK[:-1], "IncompleteReadError"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            "IncompleteReadError",
        ),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "status 503"),
    ],
    ids=["no answer", "cut body", "cut chunks", "503"],
)
def test_a_lost_request_is_recorded_with_what_explains_it(
    server: Server, bytes_: bytes, reason: str
) -> None:
    async def lose_one(number: int, writer: asyncio.StreamWriter) -> None:
        if number != 5:
            await _ok(number, writer)
            return
        writer.write(bytes_)
        await writer.drain()
        if reason != "status 503":
            writer.close()

    server.answer = lose_one
    result = Load(server.url, server.ca_file, 50, 0.4).run()
    (loss,) = result.losses
    assert result.lost == 1
    assert loss.reason.startswith(reason)
    assert loss.connection in {"new", "kept", "fresh"}
    assert loss.age >= loss.idle >= 0
    assert json.dumps(result.summary())


def test_arrivals_do_not_wait_for_a_slow_answer(server: Server) -> None:
    held = asyncio.Event()

    async def hold_the_first(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            await held.wait()
        await _ok(number, writer)
        if number == 20:
            held.set()

    server.answer = hold_the_first
    result = Load(server.url, server.ca_file, 50, 0.5).run()
    assert result.lost == 0
    assert result.sent >= 20


def test_a_connection_that_the_server_closed_while_idle_loses_nothing(server: Server) -> None:
    async def close_after(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        await writer.drain()
        writer.close()

    server.answer = close_after
    result = Load(server.url, server.ca_file, 50, 0.4).run()
    assert result.lost == 0


def test_stopping_waits_for_the_answers_that_are_due(server: Server) -> None:
    asked = threading.Event()

    async def wait(number: int, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await server.told.wait()
        await _ok(number, writer)

    server.answer = wait
    with Load(server.url, server.ca_file, 20, 60) as load:
        assert asked.wait(10)
        load.phase("later")
        server.tell()
        result = load.stop()
    assert result.lost == 0
    assert result.ok == result.sent == server.requests


@pytest.mark.parametrize(
    ("url", "rate"),
    [("http://localhost/", 1), ("https://192.0.2.1/", 1), ("https://localhost/", 5000)],
)
def test_a_load_on_another_machine_or_beyond_the_bounds_is_refused(url: str, rate: float) -> None:
    with pytest.raises(ValueError, match=r"https address|not an address|at most"):
        Load(url, None, rate, 1)


def _stream(*events: tuple[str, object]) -> Response:
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return Response(200, {}, text.encode())


def test_a_stream_is_whole_only_when_its_end_repeats_every_word() -> None:
    said = f"One [1]. {LAST_WORDS} [1]."
    words = [("delta", {"text": "One [1]. "}), ("delta", {"text": f"{LAST_WORDS} [1]."})]
    assert whole(_stream(*words, ("done", {"answer": said}))) == ""
    assert whole(_stream(*words)) == "stream: ended with delta"
    assert "not the whole" in whole(_stream(words[0], ("done", {"answer": said})))
    assert "error 503" in whole(_stream(*words, ("error", {"status": 503})))
