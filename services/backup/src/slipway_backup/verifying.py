"""Reading what is stored: every file of the database's copies, and the structure of the rest."""

from __future__ import annotations

from typing import Any

from slipway_backup import history, points, proofs, repositories
from slipway_backup.errors import BackupError
from slipway_backup.progress import Progress, silent
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files


def run(
    settings: Settings,
    wanted: str = "",
    *,
    read_data: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Verify a point, or everything in every repository; says what is wrong."""
    wrong: list[str] = []
    point = ""
    for repository in repositories.all_of(settings):
        listed = points.read(settings, repository)
        chosen = points.choose(listed.points, wanted) if wanted else None
        if wanted and chosen is None:
            continue
        point = chosen.point.id if chosen else point
        wrong += [f"{repository.name}: {each}" for each in listed.damaged]
        progress(0.1, f"reading the database's copies in {repository.name}")
        label = chosen.point.label(repository) if chosen else ""
        found = database.verify(settings, repository, label)
        have = database.archived(settings, repository)
        copies = database.copies(settings, repository)
        for stored in [chosen] if chosen else listed.points:
            found += points.gaps(stored, copies, have)
        progress(0.6, f"checking the files in {repository.name}")
        found += files.verify(settings, repository, read_data=read_data)
        wrong += [f"{repository.name}: {each}" for each in found]
        if repository.number == repositories.FIRST:
            try:
                proofs.complete(points.lost(settings, listed.points))
            except BackupError as error:
                wrong.append(str(error))
    if wanted and not point:
        points.find(settings, wanted)
    done = {"ok": not wrong, "point": point or None, "read_data": read_data, "wrong": wrong}
    history.append(settings, "verify", **done)
    progress(1.0, "done")
    return done
