"""A language model's server that says what a test tells it to, on real sockets.

It speaks OpenAI's chat completions, and Ollama's list, pull and load of models.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    """One answer to a chat completion."""

    pieces: Sequence[str] = ("It leaves at ", "seven ", "[1].")
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str | None = "stop"
    usage: bool = True
    #: Sent as it is instead of what the protocol says.
    raw: bytes | None = None
    #: The connection is closed after so many pieces.
    cut_after: int | None = None
    #: Nothing more is sent after so many pieces until the event is set, or the client is gone.
    hold_after: int = 0
    hold: threading.Event | None = None
    #: Seconds before each piece: a model that thinks.
    every: float = 0.0


Answer = Callable[[dict[str, Any]], Reply]


class ScriptedLLM:
    """What the server was asked, and what it will say."""

    model = "tiny"

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.replies: deque[Reply] = deque()
        self.answer: Answer = lambda _: Reply()
        self.asked = threading.Semaphore(0)
        self.client_gone = threading.Event()
        self.ollama_models: list[str] = []
        self.ollama_loaded: list[dict[str, Any]] = []
        self.ollama_error: str | None = None
        self.pull_hold: threading.Event | None = None
        self.pulling = threading.Event()
        self._server: _Server | None = None
        self.port = 0

    @property
    def ollama_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.ollama_url}/v1"

    @property
    def prompts(self) -> list[str]:
        """Everything that reached the model, one text per request."""
        return [
            "\n".join(message["content"] for message in request["messages"])
            for request in self.requests
        ]

    def reply(self, *pieces: str, **how: Any) -> None:
        """Say this to the next request that nothing else was said for."""
        self.replies.append(Reply(pieces, **how) if pieces else Reply(**how))

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = _Server((self.host, self.port), self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], script: ScriptedLLM) -> None:
        super().__init__(address, _Handler)
        self.script = script

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what tests do."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        script = self.server.script
        if self.path == "/api/tags":
            self._json(200, {"models": [{"name": name} for name in script.ollama_models]})
        else:
            self._json(404, {"error": "not here"})

    def do_POST(self) -> None:
        script = self.server.script
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/api/pull":
            self._pull(script, body)
        elif self.path == "/api/generate":
            script.ollama_loaded.append(body)
            self._json(200, {"model": body["model"], "done": True, "done_reason": "load"})
        elif self.path == "/v1/chat/completions":
            script.requests.append(body)
            script.headers.append(dict(self.headers.items()))
            reply = script.replies.popleft() if script.replies else script.answer(body)
            script.asked.release()
            self._complete(body, reply)
        else:
            self._json(404, {"error": {"message": "not here"}})

    def _complete(self, body: dict[str, Any], reply: Reply) -> None:
        if reply.raw is not None:
            self._begin(reply, "application/json", length=len(reply.raw))
            self.wfile.write(reply.raw)
        elif reply.status != 200:
            self._json(reply.status, {"error": {"message": "scripted"}}, reply.headers)
        elif body["stream"]:
            self._stream(body, reply)
        else:
            self._wait(reply)
            message = {"role": "assistant", "content": "".join(reply.pieces)}
            choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
            answer = {"object": "chat.completion", "model": body["model"], "choices": [choice]}
            self._json(200, answer | self._usage(reply))

    def _stream(self, body: dict[str, Any], reply: Reply) -> None:
        self._begin(reply, "text/event-stream")
        for number, piece in enumerate(reply.pieces):
            if number == reply.hold_after:
                self._wait(reply)
            if number == reply.cut_after:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            time.sleep(reply.every)
            self._event({"choices": [{"index": 0, "delta": {"content": piece}}]})
        if reply.finish_reason:
            end = {"index": 0, "delta": {}, "finish_reason": reply.finish_reason}
            self._event({"choices": [end]})
        if reply.usage and body.get("stream_options", {}).get("include_usage"):
            self._event({"choices": []} | self._usage(reply))
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _usage(self, reply: Reply) -> dict[str, Any]:
        if not reply.usage:
            return {}
        return {"usage": {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}}

    def _wait(self, reply: Reply) -> None:
        """Wait for the test, or for the client to hang up."""
        if reply.hold is None:
            return
        while not reply.hold.wait(0.01):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.script.client_gone.set()
                raise ConnectionAbortedError

    def _pull(self, script: ScriptedLLM, body: dict[str, Any]) -> None:
        self._begin(Reply(), "application/x-ndjson")
        script.pulling.set()
        self._line({"status": "pulling manifest"})
        if script.ollama_error:
            self._line({"error": script.ollama_error})
        else:
            for done in (0, 40, 100):
                self._line({"status": "pulling", "total": 100, "completed": done})
                if done == 40 and script.pull_hold is not None:
                    script.pull_hold.wait(WAIT_SECONDS)
            script.ollama_models.append(body["model"] + ":latest")
            self._line({"status": "success"})
        self._chunk(b"")

    def _begin(self, reply: Reply, media_type: str, length: int | None = None) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", media_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        how = Reply(status=status, headers=headers or {})
        self._begin(how, "application/json", length=len(body))
        self.wfile.write(body)

    def _event(self, data: object) -> None:
        self._chunk(f"data: {json.dumps(data)}\n\n".encode())

    def _line(self, data: object) -> None:
        self._chunk(json.dumps(data).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


@pytest.fixture
def scripted_llm() -> Iterator[ScriptedLLM]:
    """A running server, each test's own."""
    server = ScriptedLLM()
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Served:
    """A language model to test with: the scripted one, or another that the environment names."""

    base_url: str
    model: str


@pytest.fixture
def language_model(request: pytest.FixtureRequest) -> Served:
    """SLIPWAY_TEST_LLM_MODEL at SLIPWAY_TEST_LLM_BASE_URL, or else the scripted server.

    What a test says of it must hold for every model, also for one that writes nonsense.
    """
    base_url = os.environ.get("SLIPWAY_TEST_LLM_BASE_URL")
    if base_url:
        return Served(base_url, os.environ["SLIPWAY_TEST_LLM_MODEL"])
    scripted: ScriptedLLM = request.getfixturevalue("scripted_llm")
    return Served(scripted.base_url, scripted.model)
