"""What became of each file is told, also where the server's first answer was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from slipway_backend.bulk.files import LocalFile
from slipway_backend.bulk.server import Server
from slipway_backend.bulk.upload import BulkUpload


class SentTwice:
    """A server that has worked on every file before the second sending is answered."""

    def __init__(self, status: str) -> None:
        self.status = status

    async def documents(self, _collection: str, _prefix: str) -> AsyncIterator[dict[str, Any]]:
        for nothing in ():
            yield nothing

    async def upload(self, file: LocalFile, _collection: str) -> dict[str, Any]:
        return {"id": file.source, "status": self.status, "error": "It is broken."}


async def upload(folder: Path, status: str) -> tuple[BulkUpload, list[str]]:
    told: list[str] = []
    path = folder / "quay.md"
    path.write_text("# Quay\n")
    made = BulkUpload(
        cast("Server", SentTwice(status)), "", 1, lambda outcome, _file: told.append(outcome)
    )
    await made.upload([LocalFile(path, "quay.md", 7)], "")
    await made.wait()
    return made, told


async def test_what_was_worked_on_before_the_answer_came_became_ready(tmp_path: Path) -> None:
    made, told = await upload(tmp_path, "ready")
    assert (made.summary.uploaded, made.summary.ready, made.unfinished) == (1, 1, 0)
    assert told == ["uploaded", "ready"]


async def test_what_had_failed_before_the_answer_came_is_told_with_the_reason(
    tmp_path: Path,
) -> None:
    made, _ = await upload(tmp_path, "failed")
    assert made.summary.ready == 0
    assert made.summary.failed == {"quay.md": "It is broken."}
