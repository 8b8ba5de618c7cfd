"""Uploading a folder: only what is missing or changed, a few files at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from slipway_backend import background
from slipway_backend.bulk.files import LocalFile, sha256_of
from slipway_backend.bulk.server import Lost, Refused, Server

Outcome = Literal["uploaded", "unchanged", "failed", "ready"]
Told = Callable[[Outcome, LocalFile], None]
LOOK_SECONDS = 1.0


@dataclass
class Summary:
    """What became of the files; ``failed`` maps sources to reasons."""

    uploaded: int = 0
    unchanged: int = 0
    ready: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class BulkUpload:
    """One run over a folder. Stopped and started again, it goes on where it was."""

    def __init__(self, server: Server, collection: str, workers: int, tell: Told) -> None:
        self._server = server
        self._collection = collection
        self._workers = workers
        self._tell = tell
        self._known: dict[str, dict[str, Any]] = {}
        self._unfinished: list[tuple[LocalFile, str]] = []
        self.summary = Summary()

    async def upload(self, files: Iterable[LocalFile], prefix: str) -> None:
        """Upload the files that the server does not have as they are.

        Raises Lost when the server stays away, Refused when it does not give its list.
        """
        async for document in self._server.documents(self._collection, prefix):
            self._known[document["source"]] = {
                name: document[name] for name in ("id", "sha256", "status")
            }
        waiting = iter(files)

        async def work() -> None:
            for file in waiting:
                await self._one(file)

        tasks = [asyncio.create_task(work()) for _ in range(self._workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            await background.end(*tasks)

    async def wait(self) -> None:
        """Wait until what was uploaded is ready or failed."""
        for file, document_id in self._unfinished:
            while True:
                document = await self._server.document(document_id)
                if document is None:
                    self._fail(file, "It was deleted before it was ready.")
                elif document["status"] in ("ready", "failed"):
                    self._end(file, document)
                else:
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                break
        self._unfinished.clear()

    @property
    def unfinished(self) -> int:
        """How many documents are to be waited for."""
        return len(self._unfinished)

    async def _one(self, file: LocalFile) -> None:
        known = self._known.get(file.source)
        try:
            if known and known["status"] != "failed":
                sha256 = await asyncio.to_thread(sha256_of, file.path)
                if sha256 == known["sha256"]:
                    self._note(file, known, "unchanged")
                    return
            document = await self._server.upload(file, self._collection)
        except UnicodeError:
            self._fail(file, "Its name is not valid UTF-8.")
        except (Refused, OSError) as error:
            self._fail(file, str(error))
        except Lost as error:
            self._fail(file, str(error))
            raise
        else:
            self._note(file, document, "uploaded")

    def _note(
        self, file: LocalFile, document: dict[str, Any], outcome: Literal["uploaded", "unchanged"]
    ) -> None:
        setattr(self.summary, outcome, getattr(self.summary, outcome) + 1)
        self._tell(outcome, file)
        if document["status"] not in ("ready", "failed"):
            self._unfinished.append((file, str(document["id"])))
        elif outcome == "uploaded":
            # Sent twice, because the answer to the first time was lost, and worked on meanwhile.
            self._end(file, document)

    def _end(self, file: LocalFile, document: dict[str, Any]) -> None:
        if document["status"] == "failed":
            self._fail(file, str(document["error"]))
            return
        self.summary.ready += 1
        self._tell("ready", file)

    def _fail(self, file: LocalFile, why: str) -> None:
        self.summary.failed[file.source] = why
        self._tell("failed", file)
