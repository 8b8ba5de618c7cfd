"""Finished files of the log on their way into the repositories: each has a queue of its own.

So none waits for another one, and the spool is empty for whatever the database goes on with.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from slipway_backup import history, logs, repositories
from slipway_backup.errors import Failed
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database

WHOLE = re.compile(r"^[0-9A-F]{24}$")
HISTORY = re.compile(r"^[0-9A-F]{8}\.history$")
PARTIAL = re.compile(r"^[0-9A-F]{24}\.partial$")
SEGMENT_BYTES = 16 << 20
#: As much as the database keeps for a slot. What waits lies on the first repository's volume.
WAITING_BYTES = 4 << 30


def finished(folder: Path) -> list[str]:
    """The files of the log that will not change any more, in their order; histories first."""
    names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    whole = [name for name in names if WHOLE.match(name)]
    return [*(name for name in names if HISTORY.match(name)), *whole]


def hand_out(settings: Settings, done: Collection[str] = ()) -> list[str]:
    """Give every repository what is finished in the spool; the names that were given.

    A history stays in the spool for pg_receivewal: `done` names those that were given before.
    """
    names = [name for name in finished(settings.spool) if name not in done]
    for name in names:
        _give(settings, settings.spool / name)
        if not HISTORY.match(name):
            (settings.spool / name).unlink(missing_ok=True)
    return names


def set_aside(settings: Settings) -> None:
    """Give away what the spool holds to its end, so that receiving begins at the slot's place."""
    hand_out(settings)
    for each in sorted(settings.spool.iterdir()):
        if PARTIAL.match(each.name):
            _give(settings, each)
        if PARTIAL.match(each.name) or HISTORY.match(each.name):
            each.unlink(missing_ok=True)


def forget_torn(settings: Settings) -> None:
    """Remove from the spool what there was no room for: nothing was received into it.

    pg_receivewal fills a file with zeros before it writes into it, leaves what it could not fill,
    and will not go on with a file of another size (open_walfile of its receivelog.c).
    """
    for each in settings.spool.glob("*.partial"):
        if each.stat().st_size not in {0, SEGMENT_BYTES}:
            each.unlink()


def archive(settings: Settings, repository: Repository) -> Iterator[str]:
    """Archive what waits for a repository, and name each file when it is. Raises Failed."""
    folder = settings.queue(repository.number)
    partial = [each.name for each in folder.glob("*.partial") if PARTIAL.match(each.name)]
    for name in [*finished(folder), *sorted(partial)]:
        try:
            database.push(settings, repository, folder / name)
        except Failed:
            # The end of what was left behind: the same place may be archived as far already.
            if not PARTIAL.match(name):
                raise
        (folder / name).unlink(missing_ok=True)
        yield name


def forget_others(settings: Settings) -> None:
    """Remove the queues of repositories that the environment has no more."""
    numbers = {str(each.number) for each in repositories.all_of(settings)}
    folder = settings.queue(repositories.FIRST).parent
    for each in folder.iterdir() if folder.is_dir() else ():
        if each.name not in numbers:
            shutil.rmtree(each, ignore_errors=True)


def _give(settings: Settings, path: Path) -> None:
    for repository in repositories.all_of(settings):
        folder = settings.queue(repository.number)
        folder.mkdir(parents=True, exist_ok=True)
        if repository.number != repositories.FIRST:
            _bound(settings, repository, folder)
        with contextlib.suppress(FileNotFoundError):
            _link(path, folder / path.name)
        # The spool's own entry goes next.
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except FileExistsError:
        if not filecmp.cmp(path, target, shallow=False):
            raise Failed(
                f"another file {path.name} of the log waits to be archived already",
                "slipway-backup status",
            ) from None


def _bound(settings: Settings, repository: Repository, folder: Path) -> None:
    """Drop what waits for a repository that was away too long: points from now on are whole."""
    if sum(each.stat().st_size for each in folder.iterdir()) < WAITING_BYTES:
        return
    reason = f"{repository.name} was away for more of the log than is kept for it"
    logs.log("error", reason)
    history.append(settings, "gap", ok=False, repository=repository.number)
    for each in sorted(folder.iterdir()):
        # Where timelines come from is asked of a repository whatever its log has.
        if not HISTORY.match(each.name):
            each.unlink(missing_ok=True)
