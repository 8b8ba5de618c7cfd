"""What is kept: pgBackRest counts its copies, and points whose copy it removed go with it.

Only snapshots that are named one by one are ever removed, never those that a rule over their own
times or tags would find: whoever could add snapshots with other times could have good ones removed.
Nor does a copy that is lost take its point along: the files of that point may be all that is left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slipway_backup import history, points, repositories
from slipway_backup.points import Stored
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files


def apply(settings: Settings) -> list[str]:
    """Remove what is over the number that is kept, in every repository; the ids of points."""
    removed: dict[str, None] = {}
    for repository in repositories.all_of(settings):
        before = {copy.label for copy in database.copies(settings, repository)}
        database.expire(settings, repository)
        after = {copy.label for copy in database.copies(settings, repository)}
        if labels := sorted(before - after):
            history.append(
                settings, "expired", ok=True, repository=repository.number, labels=labels
            )
        expired = {
            label
            for line in history.read(settings, "expired")
            if line.get("repository") == repository.number
            for label in line.get("labels", ())
        }
        gone = of_copies(points.read(settings, repository).points, expired)
        files.forget(settings, repository, [each.snapshot.id for each in gone])
        removed |= dict.fromkeys(each.point.id for each in gone)
    if removed:
        history.append(settings, "removed", ok=True, removed=list(removed))
    return list(removed)


def of_copies(listed: Sequence[Stored], labels: Collection[str]) -> list[Stored]:
    """The points of copies that were removed."""
    return [each for each in listed if each.point.label(each.repository) in labels]
