"""The process that parses one document: limited, killable, and gone afterwards.

Forked by `slipway_backend.parsing.spawner`; writes a JSON answer on standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Limits
from slipway_backend.parsing.confinement import confine

PR_SET_PDEATHSIG = 1
OPEN_FILES = 64


def restrict(limits: Limits) -> None:
    """Cap what this process may use, and be the first to go when memory is short.

    It can write no file, start no other process and open few files.
    """
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    seconds = int(limits.seconds) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    os.nice(5)


def end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, which may have happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def answer(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Parse and return ``{"parsed": ...}`` or ``{"error": "one sentence"}``."""
    # After `restrict`, so that the limits hold for what the parsers bring along too.
    from slipway_backend.parsing.readers import read  # noqa: PLC0415

    try:
        parsed = read(Path(request["path"]), request["filename"], limits)
    except DocumentError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": too_much_memory(limits), "cause": MemoryError.__name__}
    except Exception as error:  # a parser may fail in any way on a hostile file
        return {
            "error": "The document is damaged or not what it seems: its content could not be read.",
            "cause": type(error).__name__,
        }
    return {"parsed": parsed.to_json()}


def too_much_memory(limits: Limits) -> str:
    """The sentence for a document that needs more memory than it may have."""
    megabytes = limits.memory_bytes // (1024 * 1024)
    return f"Parsing the document needs more than the {megabytes} MB of memory it may use."


def parse(request: dict[str, Any]) -> None:
    """Restrict and confine this process, then write the answer to a request."""
    limits = Limits(**request["limits"])
    restrict(limits)
    unconfined = confine(Path(request["path"]))
    result = {**answer(request, limits), "unconfined": unconfined}
    # In one piece: `json.dump` writes a large answer in millions of small ones.
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
