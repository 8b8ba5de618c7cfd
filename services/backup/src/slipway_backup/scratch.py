"""The place where a point is restored for a while, beside everything and for nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway_backup import lock
from slipway_backup.errors import Failed
from slipway_backup.points import Stored
from slipway_backup.settings import Settings

#: Who works here takes what is left of the disk, and this much more is left alone.
SPARE_BYTES = 256 * 1024 * 1024
#: One server more is what this container has memory for: drills and all others take turns.
LOCK = "drill.lock"


@contextmanager
def folder(settings: Settings, what: str) -> Iterator[Path]:
    """An empty folder, whatever one who was killed left there; removed afterwards.

    Raises Refused, saying who is there, while somebody else has it.
    """
    with lock.held(settings.work_directory / LOCK, what):
        place = settings.scratch
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def require_room(settings: Settings, stored: Stored, what: str) -> None:
    """Raise Failed when the point's database would not fit."""
    needed = int(stored.point.database["bytes"]) + SPARE_BYTES
    free = shutil.disk_usage(settings.work_directory).free
    if free < needed:
        raise Failed(
            f"{what} needs {needed >> 20} MB of room and there are {free >> 20} MB",
            "give the volume of the repository more room",
        )
