"""A client of any OpenAI-compatible server: whole answers and streamed ones, each with limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import httpx

from slipway_backend.errors import Problem
from slipway_backend.llm import failures
from slipway_backend.llm.completion import (
    Completion,
    Message,
    NotUnderstood,
    Part,
    Usage,
    read_completion,
    read_part,
)
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

Status = Literal["ready", "loading", "unreachable"]
Operation = Literal["generate", "condense"]
# An answer is some kilobytes; a server that sends more is broken or hostile.
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class LanguageModel:
    """The configured model. Every method raises Problem, with a ``cause``, when it fails."""

    def __init__(self, settings: Settings, metrics: Metrics, client: httpx.AsyncClient) -> None:
        self._base_url = settings.require_language_model()
        self._settings = settings
        self._metrics = metrics
        self._client = client
        # As the last call found it; Ollama is asked in the background as well.
        self.status: Status = "ready"

    @property
    def name(self) -> str:
        """The model's name on its server."""
        return self._settings.llm_model

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, operation: Operation = "generate"
    ) -> Completion:
        """Return a whole answer."""
        async with self._watched(operation) as deadline:
            try:
                # Nothing comes before the whole answer, so silence has no limit of its own.
                async with (
                    asyncio.timeout_at(deadline),
                    self._request(messages, max_tokens, stream=False) as response,
                ):
                    completion = read_completion(await _read(response))
            except TimeoutError:
                raise failures.timed_out("did not finish its answer in time") from None
            if not completion.text.strip():
                raise failures.empty()
            self._count(completion.usage)
        return completion

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int
    ) -> AsyncGenerator[Part, None]:
        """Yield an answer in parts, the last of which has the ``finish_reason``.

        Closing the generator closes the connection, which makes the server stop.
        """
        async with self._watched("generate") as deadline:
            started = time.perf_counter()
            finished = spoken = False
            parts = self._parts(messages, max_tokens, deadline)
            async with aclosing(parts):
                async for part in parts:
                    if part.text and not spoken:
                        spoken = True
                        seconds = time.perf_counter() - started
                        self._metrics.stage_took("generate_first_token", seconds)
                        self._metrics.first_token_seconds.labels("chat", self.name).observe(seconds)
                    finished = finished or part.finish_reason is not None
                    self._count(part.usage)
                    yield part
            if not finished:
                raise failures.cut_off()
            if not spoken:
                raise failures.empty()

    async def _parts(
        self, messages: Sequence[Message], max_tokens: int, deadline: float
    ) -> AsyncGenerator[Part, None]:
        silence = self._settings.llm_first_token_seconds
        loop = asyncio.get_running_loop()
        # The limits are set around each wait: one around the whole would bind this generator to
        # the task that began it.
        request = self._request(messages, max_tokens, stream=True)
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + silence)):
                response = await request.__aenter__()
            try:
                lines = _data_lines(response)
                async with aclosing(lines):
                    while True:
                        async with asyncio.timeout_at(min(deadline, loop.time() + silence)):
                            data = await anext(lines, None)
                        if data is None or data == "[DONE]":
                            return
                        yield read_part(data)
            finally:
                await request.__aexit__(None, None, None)
        except TimeoutError:
            late = loop.time() >= deadline
            what = "did not finish its answer in time" if late else "was silent for too long"
            raise failures.timed_out(what) from None

    @asynccontextmanager
    async def _request(
        self, messages: Sequence[Message], max_tokens: int, *, stream: bool
    ) -> AsyncIterator[httpx.Response]:
        body: dict[str, Any] = {
            "model": self.name,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": max_tokens,
            "stream": stream,
        }
        if stream:
            body["stream_options"] = {"include_usage": True}
        # Not compressed, so that what is received is what is held.
        headers = {"Accept-Encoding": "identity"}
        if self._settings.llm_api_key:
            headers["Authorization"] = f"Bearer {self._settings.llm_api_key}"
        timeout = httpx.Timeout(None, connect=self._settings.llm_connect_seconds)
        async with self._client.stream(
            "POST",
            f"{self._base_url}/chat/completions",
            json=body,
            headers=headers,
            timeout=timeout,
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise failures.refused(response, self.name)
            yield response

    @asynccontextmanager
    async def _watched(self, operation: Operation) -> AsyncIterator[float]:
        """Give the deadline; count, time and log, and turn what httpx raises into problems."""
        if self.status == "loading":
            raise failures.loading()
        error_type = "abandoned"
        started = time.perf_counter()
        try:
            yield asyncio.get_running_loop().time() + self._settings.llm_seconds
            error_type = ""
            self.status = "ready"
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            error_type = "llm_unreachable"
            self.status = "unreachable"
            get_logger().error("llm_failed", cause=error_type, error=type(error).__name__)
            raise failures.unreachable() from None
        except httpx.RequestError as error:
            error_type = "llm_cut_off"
            get_logger().error("llm_failed", cause=error_type, error=type(error).__name__)
            raise failures.cut_off() from None
        except NotUnderstood as error:
            error_type = "llm_malformed"
            get_logger().error("llm_failed", cause=error_type, error=str(error))
            raise failures.malformed() from None
        except Problem as problem:
            error_type = str(problem.extensions.get("cause", "failed"))
            get_logger().error("llm_failed", cause=error_type, status=problem.status)
            raise
        finally:
            seconds = time.perf_counter() - started
            self._metrics.stage_took(operation, seconds)
            self._metrics.model_seconds.labels("chat", self.name, error_type).observe(seconds)

    def _count(self, usage: Usage | None) -> None:
        if usage is not None:
            tokens = self._metrics.tokens
            tokens.labels("chat", self.name, "input").observe(usage.input_tokens)
            tokens.labels("chat", self.name, "output").observe(usage.output_tokens)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise NotUnderstood("an answer without end")
    return bytes(body)


async def _data_lines(response: httpx.Response) -> AsyncGenerator[str, None]:
    """Yield what follows ``data:``; every server puts one event into one such line."""
    received = 0
    pending = b""
    async for part in response.aiter_bytes():
        received += len(part)
        if received > MAX_ANSWER_BYTES:
            raise NotUnderstood("an answer without end")
        *lines, pending = (pending + part).split(b"\n")
        for line in lines:
            if (data := _data(line)) is not None:
                yield data
    if (data := _data(pending)) is not None:
        yield data


def _data(line: bytes) -> str | None:
    if line.startswith(b"data:"):
        return line[5:].decode("utf-8", "replace").strip()
    if line.strip() and not line.startswith((b":", b"event:", b"id:", b"retry:")):
        raise NotUnderstood("not a stream of events")
    return None
