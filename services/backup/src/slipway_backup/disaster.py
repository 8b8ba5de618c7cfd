"""What a host that has nothing begins with: the copy of a repository, and the state in it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway_backup import points, repositories, status
from slipway_backup import state as ledger
from slipway_backup.errors import Failed, Refused
from slipway_backup.points import Stored
from slipway_backup.privileges import USER
from slipway_backup.progress import Progress, silent
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import files

#: What makes a folder a repository, and what is told of it beside them.
PARTS = ("restic", "pgbackrest")
TOLD = Path("work/history.jsonl")
#: What processes of another host left here; the folder itself has to be there.
LOCKS = Path("restic/locks")
#: Of the state, what belongs to a run that is over.
OVER = ("lease.json", "journal.jsonl", "handed.json", "handed-before.json")


def survey(settings: Settings, folder: Path | None, number: int) -> dict[str, Any]:
    """The points of a repository that is only read: the copy in a folder, or one of our own.

    `of` tells whose it is, by the state of the newest point, and with which images it was released.
    Raises Refused or Failed where there is none, WrongKey where it is another key's.
    """
    root = settings.repository_directory if folder is None else root_of(folder)
    work = root / "work"
    if not work.is_dir():
        # For this process alone, so that it reads what a point says once.
        work = Path(tempfile.mkdtemp(prefix="slipway-work-"))
    changed = {"repository_directory": root, "work_directory": work}
    settings = settings.model_copy(update=changed)
    repository = numbered(settings, number)
    listed = points.read(settings, repository)
    told = status.described(settings, [(repository, listed, listed.damaged)])
    return told | {"of": of(settings, listed.points[-1]) if listed.points else {}}


def of(settings: Settings, stored: Stored) -> dict[str, Any]:
    """The project of the platform in a point's state, and its images; empty where it tells none."""

    def read(name: str) -> str:
        path = str(settings.state_directory / name)
        return files.read(settings, stored.repository, stored.snapshot.id, path)

    try:
        platform = str(json.loads(read(ledger.PLATFORM))["name"])
        return {"platform": platform, "images": ledger.last(read(ledger.LEDGER)).get("images", {})}
    except (Failed, KeyError, ValueError):
        return {}


def state(settings: Settings, number: int, point: str, target: Path) -> None:
    """Restore the state of a point into a folder, without what belongs to a run that is over."""
    repository = numbered(settings, number)
    found = files.snapshots(settings, repository, f"id={point}").snapshots
    if not found:
        raise Refused(f"{repository.name} has no point {point!r}", "slipway-backup survey")
    files.restore(settings, repository, found[-1].id, settings.state_directory, target, but=OVER)


def adopt(settings: Settings, folder: Path, progress: Progress = silent) -> int:
    """Copy a repository into our own place for it; how many files it has.

    What is there and equal stays, so that the same call goes on after a kill; what the copy does
    not have goes. The service's user owns all of it afterwards, whoever owned the copy.
    """
    source, target = root_of(folder), settings.repository_directory
    wanted = {path.relative_to(source): path for path in _tree(source)}
    for path in [*_tree(target)]:
        if path.relative_to(target) not in wanted:
            _remove(path)
    target.mkdir(parents=True, exist_ok=True)
    _own(target, 0o750)
    if (source / TOLD).is_file():
        wanted |= {TOLD.parent: source / TOLD.parent, TOLD: source / TOLD}
    whole = sum(path.lstat().st_size for path in wanted.values()) or 1
    done = 0
    for name, path in wanted.items():
        _copy(path, target / name)
        done += path.lstat().st_size
        progress(done / whole, "copying the repository")
    os.sync()
    progress(1.0, "done")
    return sum(not path.is_dir() for path in wanted.values())


def root_of(folder: Path) -> Path:
    """The folder with both parts of a repository: this one, or the one in a copy of the volume.

    Raises Refused where it is neither.
    """
    for root in (folder, folder / "repository"):
        if all((root / part).is_dir() for part in PARTS):
            return root
    raise Refused(
        "this is no repository: it holds no folders restic and pgbackrest",
        "give the folder that holds both, or a copy of the volume that it is in",
    )


def numbered(settings: Settings, number: int) -> Repository:
    """One of our own repositories. Raises Refused where there is none of this number."""
    for each in repositories.all_of(settings):
        if each.number == number:
            return each
    raise Refused(f"there is no repository {number}", "name it in x-slipway/backup/second")


def _tree(root: Path) -> Iterator[Path]:
    """What a repository is made of, each folder before what is in it."""
    for part in PARTS:
        if (root / part).is_dir():
            yield root / part
        for place, folders, names in os.walk(root / part):
            if Path(place) != root / LOCKS:
                yield from (Path(place) / each for each in (*folders, *names))


def _copy(path: Path, target: Path) -> None:
    if path.is_symlink():
        target.unlink(missing_ok=True)
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir(exist_ok=True)
        _own(target, 0o750)
        return
    there = path.stat()
    if not target.is_file() or (target.stat().st_size, target.stat().st_mtime_ns) != (
        there.st_size,
        there.st_mtime_ns,
    ):
        unfinished = target.with_name(f"{target.name}.unfinished")
        shutil.copyfile(path, unfinished)
        os.utime(unfinished, ns=(there.st_atime_ns, there.st_mtime_ns))
        unfinished.replace(target)
    _own(target, 0o640)


def _own(path: Path, mode: int) -> None:
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, USER, USER)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
