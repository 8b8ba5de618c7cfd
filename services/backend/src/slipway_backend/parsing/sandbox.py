"""Parsing in a child process with a wall clock and a memory limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import anyio.to_thread

from slipway_backend.errors import DocumentError
from slipway_backend.logs import get_logger
from slipway_backend.parsing import Limits, Parsed
from slipway_backend.parsing.child import too_much_memory
from slipway_backend.parsing.language import identify
from slipway_backend.settings import Settings


class OutOfMemory(DocumentError):
    """Parsing needs more memory than the document may use."""


async def parse(path: Path, filename: str, limits: Limits) -> Parsed:
    """Parse a file in a child process and return what it found.

    Raises DocumentError with one sentence when the document cannot be read or takes too long, and
    OutOfMemory, also when the system ends the child for want of memory. The child never outlives
    this call.
    """
    request = {"path": str(path), "filename": filename, "limits": asdict(limits)}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # or the directory in which the service was started would be readable
        "-m",
        "slipway_backend.parsing.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(limits.seconds):
            output, errors = await child.communicate(json.dumps(request).encode())
    except TimeoutError:
        raise DocumentError(
            f"Parsing the document took more than {limits.seconds:g} seconds and was stopped."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode != 0:
        get_logger().warning(
            "parser_died",
            exit_code=child.returncode,
            last_line=errors.decode(errors="replace").strip().rpartition("\n")[2][:200],
        )
        out_of_memory = b"MemoryError" in errors or b"memory allocation of" in errors
        if out_of_memory or child.returncode == -9:
            raise OutOfMemory(too_much_memory(limits))
        raise DocumentError("The parser crashed on the document; it may be damaged.")
    # A large document's answer takes seconds to read.
    return await anyio.to_thread.run_sync(_read, output)


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
    result = json.loads(output)
    if result.get("unconfined"):
        _tell_unconfined("; ".join(result["unconfined"]))
    if "error" in result:
        if "cause" in result:
            get_logger().warning("parser_failed", cause=result["cause"])
        if result.get("cause") == MemoryError.__name__:
            raise OutOfMemory(result["error"])
        raise DocumentError(result["error"])
    parsed = Parsed.from_json(result["parsed"])
    # Here and not in the child, which would load the model anew for every document.
    return replace(parsed, language=identify(parsed.blocks))
