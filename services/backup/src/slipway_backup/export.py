"""One file for the shelf: all of one point, in a repository of its own, encrypted as it is kept."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from slipway_backup import history, keys, lock, points, queues, wal
from slipway_backup.errors import Refused
from slipway_backup.points import Stored
from slipway_backup.progress import Progress, silent
from slipway_backup.repositories import Repository
from slipway_backup.settings import STANZA, Settings
from slipway_backup.sources import database, files

FORMAT = 1


def run(settings: Settings, wanted: str, out: IO[bytes], progress: Progress = silent) -> Stored:
    """Write a point as one tar. Unpacked into a repository's folder it is one, of that point.

    What it holds is encrypted with the environment's key, as in the repository: without the key
    it says when it was made, and its size.
    """
    stored = points.find(settings, wanted)
    if stored.repository.local is None:
        raise Refused("a point is exported from the repository on this machine", "name another one")
    folder = settings.work_directory / "export"
    with lock.held(settings.work_directory / "export.lock", "exports a point"):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _copy_snapshot(settings, stored, folder)
            progress(0.3, "writing the database's copy")
            with tarfile.open(fileobj=out, mode="w|") as tar:
                _head(tar, settings, stored)
                for path, name in _files(settings, stored, folder):
                    tar.add(path, name, recursive=False)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    history.append(settings, "export", ok=True, point=stored.point.id)
    progress(1.0, "done")
    return stored


def _copy_snapshot(settings: Settings, stored: Stored, folder: Path) -> None:
    target = Repository(stored.repository.number, stored.repository.keep, str(folder))
    files.call(settings, target, ["init"])
    files.copy(settings, stored.repository, target, stored.snapshot.id)


def _head(tar: tarfile.TarFile, settings: Settings, stored: Stored) -> None:
    told = {
        "format": FORMAT,
        "point": stored.point.id,
        "time": stored.point.time,
        "environment": settings.environment,
        "key": keys.fingerprint(settings.require_key()),
    }
    text = json.dumps(told, sort_keys=True).encode() + b"\n"
    entry = tarfile.TarInfo("slipway-export.json")
    entry.size, entry.mode = len(text), 0o640
    tar.addfile(entry, io.BytesIO(text))


def _files(settings: Settings, stored: Stored, folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted((folder / "restic").rglob("*")):
        yield path, str(path.relative_to(folder))
    root = Path(stored.repository.path)
    label = stored.point.label(stored.repository)
    own = next(each for each in database.copies(settings, stored.repository) if each.label == label)
    wanted = {own.label, *own.needs}
    backups = root / "pgbackrest" / "backup" / STANZA
    archive = root / "pgbackrest" / "archive" / STANZA
    for path in sorted((*backups.rglob("*"), *archive.rglob("*"))):
        if path.is_symlink() or not _belongs(path, backups, archive, wanted, stored):
            continue
        yield path, str(path.relative_to(root))


def _belongs(path: Path, backups: Path, archive: Path, labels: set[str], stored: Stored) -> bool:
    """Whether a file of pgBackRest's is needed for the point."""
    if path.is_relative_to(backups):
        return (path.parent == backups and path.is_file()) or (
            path.relative_to(backups).parts[0] in labels
        )
    if path.parent == archive or path.is_dir() or path.name.endswith(".history"):
        return True
    first, last = (stored.point.database[name] for name in ("first_segment", "last_segment"))
    segment = path.name[:24]
    known = bool(queues.WHOLE.match(segment))
    return known and wal.position(first) <= wal.position(segment) <= wal.position(last)
