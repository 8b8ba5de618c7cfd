"""What is kept: pgBackRest counts its copies, and points whose copy it removed go with it.

Only snapshots that are named one by one are ever removed, never those that a rule over their own
times or tags would find: whoever could add snapshots with other times could have good ones removed.
A copy that is left of a run which failed is none of those that are counted: some failures in a row
would have every earlier point removed by the first success.
Nor does a copy that is lost take its point along: the files of that point may be all that is left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from slipway_backup import history, lock, logs, points, repositories
from slipway_backup.points import Stored
from slipway_backup.policy import Keep
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files
from slipway_backup.sources.database import Copy


def apply(settings: Settings) -> list[str]:
    """Remove what is over the number that is kept, in every repository; the ids of points.

    Nothing while a repository is read: what a restore needs may be what would go. The next run
    removes it.
    """
    with lock.alone(settings.reading) as unread:
        if not unread:
            logs.log("info", "retention waits for the next run", reason="a repository is read")
            return []
        return _apply(settings)


def _apply(settings: Settings) -> list[str]:
    removed: dict[str, None] = {}
    for repository in repositories.all_of(settings):
        copies = database.copies(settings, repository)
        before = {copy.label for copy in copies}
        listed = points.read(settings, repository).points
        keep = counted(copies, {each.point.label(repository) for each in listed}, repository.keep)
        database.expire(settings, replace(repository, keep=keep))
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


def counted(copies: Sequence[Copy], labels: Collection[str], keep: Keep) -> Keep:
    """How many copies have to stay so that as many of those that points rest on do."""
    own = [copy for copy in copies if copy.label in labels]
    borne = {label for copy in own for label in (copy.label, *copy.needs)}
    # pgBackRest counts full copies as differential ones too.
    full = [copy.label in borne for copy in copies if copy.kind == "full"]
    both = [copy.label in borne for copy in copies if copy.kind in {"full", "diff"}]
    # More than a person would ask for, where many runs failed.
    return Keep.model_construct(
        full=_reach(full, keep.full), differential=_reach(both, keep.differential)
    )


def _reach(borne: Sequence[bool], wanted: int) -> int:
    """How many of the newest copies have so many among them that points rest on."""
    for number in range(1, len(borne) + 1):
        if sum(borne[-number:]) == wanted:
            return number
    return max(len(borne), wanted)


def of_copies(listed: Sequence[Stored], labels: Collection[str]) -> list[Stored]:
    """The points of copies that were removed, whatever those were called where they came from."""
    return [each for each in listed if {*each.point.database["labels"].values()} & {*labels}]
