"""One collection or one document taken out of a point: its rows and its files, as one tar.

The point is restored where a drill restores it. What comes out is not encrypted: it goes straight
into the environment that it is of.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slipway_backup import belongings, history, points, restoring, scratch
from slipway_backup.belongings import Found, Wanted
from slipway_backup.errors import Refused
from slipway_backup.points import Stored
from slipway_backup.progress import Progress, part, silent
from slipway_backup.restoring import Choice, Restored
from slipway_backup.settings import Settings
from slipway_backup.sources import files

FORMAT = 1
HEAD = "part.json"
#: The last entry: what ends without it was cut short.
END = "end.json"
#: Names on one command line.
BATCH = 500


@dataclass(frozen=True)
class Extracted:
    """What was taken out, and the contents that no point had any more."""

    found: Found
    missing: frozenset[str]


def run(
    settings: Settings,
    choice: Choice,
    wanted: Wanted,
    out: IO[bytes],
    progress: Progress = silent,
) -> Extracted:
    """Write what belongs to a collection or a document as one tar.

    Raises Refused when there was no such thing then, or while a drill has the place for it.
    """
    stored = choice.stored
    if stored is None:
        raise Refused("there is no point yet", "take one: slipway-backup run")
    with scratch.folder(settings, "takes a part out of a point") as folder:
        scratch.require_room(settings, stored, "taking a part out of a point")
        data = folder / "17"
        done = Restored(choice)
        restoring.fetch(settings, choice, data, None, done, part(progress, 0.0, 0.5))
        progressed = part(progress, 0.5, 0.7)
        with restoring.recovered(settings, choice, data, lasting=False, progress=progressed) as (
            server,
            reached,
        ):
            progress(0.7, "looking for what belongs to it")
            with server.connect() as session:
                found = belongings.take(session, wanted, folder)
        missing = _files(settings, choice, found.contents, folder, part(progress, 0.75, 0.9))
        head = {
            "format": FORMAT,
            "point": stored.point.id,
            "reached": reached,
            "schema": found.schema,
            "collection": found.collection,
            "document": found.documents[0] if wanted.document else None,
            "tables": found.tables,
            "faces": found.faces,
            "missing": sorted(missing),
        }
        progress(0.9, "handing it over")
        write(head, folder, out)
    what = {"collection": found.collection["name"], "documents": len(found.documents)}
    history.append(settings, "extract", ok=True, point=stored.point.id, **what)
    progress(1.0, "done")
    return Extracted(found, frozenset(missing))


def write(head: dict[str, Any], folder: Path, out: IO[bytes]) -> None:
    """Write the head, the rows, the files and the end of what is in a folder."""
    with tarfile.open(fileobj=out, mode="w|") as tar:
        _entry(tar, HEAD, head)
        entries = [
            path
            for name in ("faces", "rows", "files")
            for path in sorted((folder / name).rglob("*"))
            if path.is_file()
        ]
        for path in entries:
            name = path.relative_to(folder).parts
            tar.add(path, f"{name[0]}/{name[-1]}", recursive=False)
        _entry(tar, END, {"entries": len(entries)})


def _entry(tar: tarfile.TarFile, name: str, told: dict[str, Any]) -> None:
    text = json.dumps(told, sort_keys=True, default=str).encode() + b"\n"
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o640
    tar.addfile(entry, io.BytesIO(text))


def _files(
    settings: Settings, choice: Choice, contents: set[str], folder: Path, progress: Progress
) -> set[str]:
    """Restore the files with these contents; those that no point has."""
    wanted = set(contents)
    target = folder / "files"
    target.mkdir()
    assert choice.stored is not None
    for stored in _nearest(settings, choice, choice.stored):
        if not wanted:
            break
        there = wanted & files.names(
            settings, choice.repository, stored.snapshot.id, settings.files_directory
        )
        named = [f"{name[:2]}/{name}" for name in sorted(there)]
        for start in range(0, len(named), BATCH):
            files.restore(
                settings,
                choice.repository,
                stored.snapshot.id,
                settings.files_directory,
                target,
                only=named[start : start + BATCH],
                progress=progress,
            )
        wanted -= there
    return wanted


def _nearest(settings: Settings, choice: Choice, chosen: Stored) -> list[Stored]:
    """The point that was chosen, then the others by their distance.

    At a time between two points a file may be in the one before alone: its document was deleted
    before the one after.
    """
    moment = restoring.moment(choice.time) if choice.target.time else chosen.point.when

    others = [each for each in points.read(settings, choice.repository).points if each != chosen]
    return [chosen, *sorted(others, key=lambda each: abs(each.point.when - moment))]
