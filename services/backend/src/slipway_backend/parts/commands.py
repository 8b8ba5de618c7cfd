"""`slipway-backend parts ...`: what `invoke restore` asks of a worker's container."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import psycopg

from slipway_backend import audit
from slipway_backend.database import TRANSIENT, check_schema, make_pool
from slipway_backend.errors import Problem, StartRefused
from slipway_backend.files import FileStore
from slipway_backend.parts import package
from slipway_backend.parts.look import Here
from slipway_backend.parts.put import compare, put
from slipway_backend.queue import make_queue, open_queue
from slipway_backend.settings import Settings


def run(settings: Settings, chosen: argparse.Namespace) -> int:
    """Run the chosen command; the last line that it prints is its answer, as JSON.

    Raises StartRefused with one sentence when nothing was changed.
    """
    files = FileStore(settings.files_directory)
    try:
        answer = asyncio.run(_run(settings, files, chosen))
    except Problem as problem:
        raise StartRefused(problem.detail) from None
    except OSError as error:
        raise StartRefused(f"The file could not be written ({error.strerror or error}).") from None
    except TRANSIENT as error:
        raise StartRefused(f"The database gave no answer ({type(error).__name__}).") from None
    except psycopg.Error as error:
        raise StartRefused(f"The database refused: {str(error).splitlines()[0]}.") from None
    sys.stdout.write(f"{json.dumps(answer, sort_keys=True)}\n")
    return 0


async def _run(settings: Settings, files: FileStore, chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.parts == "discard":
        package.discard(files, chosen.name)
        return {"discarded": chosen.name}
    if chosen.parts == "receive":
        package.receive(files, chosen.name, sys.stdin.buffer)
    audit.begin(audit.Trail(level=settings.audit))
    async with make_pool(settings.require_database(), size=1, timeout=10.0) as pool:
        await check_schema(pool)
        queue = make_queue()
        await open_queue(queue, pool)
        here = Here(settings, pool, queue, files)
        with package.opened(files, chosen.name) as given:
            if chosen.parts == "receive":
                return {"compared": (await compare(here, given)).told()}
            done = await put(here, given, chosen.agreed)
    package.discard(files, chosen.name)
    return {"done": done.told()}
