"""Parsing in processes of their own, with a wall clock and a memory limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

import anyio.to_thread

from slipway_backend.errors import DocumentError
from slipway_backend.logs import get_logger
from slipway_backend.parsing import Limits, Parsed
from slipway_backend.parsing.child import too_much_memory
from slipway_backend.parsing.language import identify
from slipway_backend.parsing.spawner import END
from slipway_backend.settings import Settings

READ_BYTES = 1 << 20
# An answer is JSON, with most letters beyond ASCII in six bytes, and about twenty for each block.
BYTES_PER_CHARACTER = 8
BYTES_BESIDE_TEXT = 32 * READ_BYTES
CRASHED = "The parser crashed on the document; it may be damaged."


class OutOfMemory(DocumentError):
    """Parsing needs more memory than the document may use."""


class ParserLost(Exception):
    """The process that parsers come from has ended, and they with it: another one is started."""


class Parsers:
    """Parses each document in a process of its own, forked from one that has loaded the parsers.

    That one is started for the first document and ends with the block.
    """

    def __init__(self) -> None:
        self._spawner: asyncio.subprocess.Process | None = None
        self._requests: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Nothing is started yet."""
        return self

    async def __aexit__(self, *raised: object) -> None:
        """End the spawner, and what still parses."""
        await self._stop()

    @property
    def pid(self) -> int | None:
        """The process that parsers are forked from, when it was started."""
        return self._spawner.pid if self._spawner else None

    async def parse(self, path: Path, filename: str, limits: Limits) -> Parsed:
        """Parse a file and return what was found in it.

        Raises DocumentError with one sentence when the document cannot be read or takes too long,
        OutOfMemory, also when the system ends the parser for want of memory, and ParserLost. The
        parser never outlives this call.
        """
        request = {"path": str(path), "filename": filename, "limits": asdict(limits)}
        async with self._parser(json.dumps(request).encode()) as parser:
            try:
                async with asyncio.timeout(limits.seconds):
                    answer, errors = await parser.read(_most_bytes(limits))
            except TimeoutError:
                raise DocumentError(
                    f"Parsing the document took more than {limits.seconds:g} seconds and was "
                    "stopped."
                ) from None
        output, end, status = answer.rpartition(END)
        if not end:
            raise ParserLost
        if int(status) != 0:
            get_logger().warning(
                "parser_died",
                exit_code=int(status),
                last_line=errors.decode(errors="replace").strip().rpartition("\n")[2][:200],
            )
            out_of_memory = b"MemoryError" in errors or b"memory allocation of" in errors
            if out_of_memory or int(status) == -signal.SIGKILL:
                raise OutOfMemory(too_much_memory(limits))
            raise DocumentError(CRASHED)
        # A large document's answer takes seconds to read.
        return await anyio.to_thread.run_sync(_read, output)

    @asynccontextmanager
    async def _parser(self, request: bytes) -> AsyncIterator[_Parser]:
        """Have a parser forked; it has ended when the block is left."""
        answer, answering = socket.socketpair()
        complaints, complaining = socket.socketpair()
        try:
            with answering, complaining:
                await self._send(request, [answering.fileno(), complaining.fileno()])
        except BaseException:
            answer.close()
            complaints.close()
            raise
        parser = await _Parser.connect(answer, complaints)
        try:
            yield parser
        finally:
            await parser.end()

    async def _send(self, request: bytes, descriptors: list[int]) -> None:
        async with self._starting:
            if self._requests is not None:
                try:
                    socket.send_fds(self._requests, [request], descriptors)
                except (BrokenPipeError, ConnectionResetError):
                    # Ended from outside, as for want of memory.
                    get_logger().warning("parsers_restarted")
                    await self._stop()
                else:
                    return
            await self._start()
            if self._requests is None:
                raise ParserLost
            socket.send_fds(self._requests, [request], descriptors)

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._spawner = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # or the directory in which the service was started would be readable
                    "-m",
                    "slipway_backend.parsing.spawner",
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                )
            except BaseException:
                # A document's time may be over before the spawner has begun.
                ours.close()
                raise
        self._requests = ours

    async def _stop(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._spawner is not None:
            with contextlib.suppress(ProcessLookupError):
                self._spawner.kill()
            await self._spawner.wait()
            self._spawner = None


@dataclass
class _Parser:
    """The way to one parser: its answer, and what it complains of."""

    answer: asyncio.StreamReader
    wanted: asyncio.StreamWriter
    complaints: asyncio.StreamReader
    heard: asyncio.StreamWriter

    @classmethod
    async def connect(cls, answer: socket.socket, complaints: socket.socket) -> _Parser:
        return cls(
            *await asyncio.open_connection(sock=answer, limit=READ_BYTES),
            *await asyncio.open_connection(sock=complaints, limit=READ_BYTES),
        )

    async def read(self, most: int) -> tuple[bytes, bytes]:
        """Return all of the answer, and the last of the complaints.

        Raises DocumentError for an answer of more than ``most`` bytes: what a file has made of its
        parser must not fill the memory of who reads.
        """
        try:
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(_whole(self.answer, most))
                complaints = group.create_task(_last(self.complaints))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return answer.result(), complaints.result()

    async def end(self) -> None:
        """Kill the parser unless it has ended, and wait for its end."""
        with contextlib.suppress(OSError):
            self.wanted.write_eof()
            while await self.answer.read(READ_BYTES):
                pass
        self.wanted.close()
        self.heard.close()


def _most_bytes(limits: Limits) -> int:
    return limits.text_characters * BYTES_PER_CHARACTER + BYTES_BESIDE_TEXT


async def _whole(stream: asyncio.StreamReader, most: int) -> bytes:
    content = bytearray()
    while part := await stream.read(READ_BYTES):
        content += part
        if len(content) > most:
            raise DocumentError(CRASHED)
    return bytes(content)


async def _last(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while part := await stream.read(READ_BYTES):
        kept = (kept + part)[-READ_BYTES:]
    return kept


def _environment() -> dict[str, str]:
    """This process's environment without the service's settings, some of which are secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in Settings.model_fields
    }


@cache
def _tell_unconfined(missing: str) -> None:
    """Log what this kernel cannot do, once per process."""
    get_logger().warning("parser_not_confined", missing=missing)


def _read(output: bytes) -> Parsed:
    try:
        result = json.loads(output)
        unconfined, error, cause = (result.get(name) for name in ("unconfined", "error", "cause"))
        parsed = None if error else Parsed.from_json(result["parsed"])
    except (AttributeError, LookupError, TypeError, ValueError):
        raise DocumentError(CRASHED) from None
    if unconfined:
        _tell_unconfined("; ".join(map(str, unconfined)))
    if parsed is None:
        if cause:
            get_logger().warning("parser_failed", cause=cause)
        if cause == MemoryError.__name__:
            raise OutOfMemory(error)
        raise DocumentError(error)
    # Here and not in the child, which would load the model anew for every document.
    return replace(parsed, language=identify(parsed.blocks))
