"""The service: it receives the log, takes what is due, and answers."""

from __future__ import annotations

import os
import shutil
from functools import partial

from slipway_backup import answering, lock, logs, schedule, scratch, wal
from slipway_backup.api import make_app
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files


def serve(settings: Settings) -> None:
    """Serve until told to stop. Raises Refused where another one serves this repository."""
    logs.configure(settings.log_level)
    settings.require_key()
    settings.work_directory.mkdir(parents=True, exist_ok=True)
    settings.reading.touch(mode=0o640)
    with lock.held(settings.work_directory / "receiver.lock", "receives the log"):
        # Left by who was killed with the container.
        if lock.is_free(settings.work_directory / scratch.LOCK):
            shutil.rmtree(settings.scratch, ignore_errors=True)
        receiver = wal.Receiver(settings, prepare=partial(prepare, settings))
        receiver.start()
        scheduler = schedule.start(settings)
        logs.log("info", "serving", port=settings.port, environment=settings.environment)
        try:
            answering.answer(make_app(settings), settings)
        finally:
            scheduler.shutdown(wait=False)
            receiver.stop()
            logs.log("info", "stopped")
    # A run that is under way ends with this process; what it began is begun anew by the next.
    os._exit(0)


def prepare(settings: Settings, place: Repository) -> None:
    """Have a repository to archive to, before there is a point. Raises BackupError."""
    with lock.turn(settings.making(place.number)):
        if not files.exists(settings, place):
            files.prepare(settings, place)
        database.prepare(settings, place)
