"""Asking both tools, with the keeper's own copy of the key, what the newest state is."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from slipway_backup import points, repositories
from slipway_backup.errors import Failed, WrongKey
from slipway_backup.keeper import rules
from slipway_backup.keeper.rules import Found
from slipway_backup.keeper.store import State, Store
from slipway_backup.points import Stored
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files
from slipway_backup.sources.database import Copy


def of_now(settings: Settings, store: Store) -> Settings:
    """Settings with the newest state as the repository, which is only read."""
    return settings.model_copy(
        update={"repository_directory": store.now, "work_directory": store.root / "work"}
    )


def ask(settings: Settings, store: Store) -> Found:
    """What both tools say of the newest state."""
    settings = of_now(settings, store)
    repository = repositories.all_of(settings)[0]
    try:
        if not files.exists(settings, repository):
            return Found(closed="there is no repository of restic's")
        everything = files.snapshots(settings, repository)
        listed = points.read(settings, repository)
        return Found(
            points=listed.points,
            snapshots={each.id: each.time for each in everything.snapshots},
            copies=tuple(database.copies(settings, repository)),
            archived=frozenset(_archived(settings, repository)),
            wrong=tuple(files.verify(settings, repository)),
            unreadable=tuple(dict.fromkeys((*everything.damaged, *listed.damaged))),
        )
    except WrongKey as error:
        return Found(closed=str(error), key=True)
    except Failed as error:
        return Found(closed=str(error), key=database.closed(str(error)))


def _archived(settings: Settings, repository: Repository) -> set[str]:
    if not (settings.repository_directory / rules.ARCHIVE).is_dir():
        return set()
    return database.archived(settings, repository)


def sums(found: Found, state: State) -> dict[str, str]:
    """The points that both tools tell whole, by id, each with the sum over its files."""
    if found.wrong or any(not rules.is_named(path, line) for path, line in state.items()):
        return {}
    by_label = {copy.label: copy for copy in found.copies}
    told = {}
    for stored in found.points:
        copy = copy_of(stored, by_label)
        if copy is None or points.gaps(stored, found.copies, set(found.archived)):
            continue
        labels = (copy.label, *copy.needs)
        begin, end = copy.start_segment, stored.point.database["last_segment"]
        told[stored.point.id] = rules.files_of(state, labels, begin, end)
    return told


def copy_of(stored: Stored, by_label: Mapping[str, Copy]) -> Copy | None:
    """A point's copy, where that and all that it needs are there and good."""
    copy = by_label.get(stored.point.named(stored.repository))
    if copy is None or any(label not in by_label for label in copy.needs):
        return None
    chain = [copy, *(by_label[label] for label in copy.needs)]
    return None if any(each.damaged for each in chain) else copy


def read_through(settings: Settings, store: Store, labels: Collection[str]) -> list[str]:
    """What pgBackRest finds wrong in the files of copies: each is read once, when it is new."""
    settings = of_now(settings, store)
    repository = repositories.all_of(settings)[0]
    return [each for label in labels for each in database.verify(settings, repository, label)]
