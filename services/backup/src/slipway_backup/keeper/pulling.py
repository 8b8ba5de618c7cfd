"""Pulling: what is new or changed in the landing folder is taken in, what went is noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway_backup.errors import Failed
from slipway_backup.keeper import landing
from slipway_backup.keeper import store as storing
from slipway_backup.keeper.clock import Clock
from slipway_backup.keeper.landing import Moving, Seen
from slipway_backup.keeper.store import Line, State, Store


@dataclass(frozen=True)
class Plan:
    """What a look means: paths to read, and paths that are gone."""

    read: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True)
class Pulled:
    """What a pull did: paths with another content, paths that are gone.

    `whole` tells that nothing moved meanwhile, so that the state is one that was; `full` that
    something was left because the reserve would have been touched.
    """

    changed: tuple[str, ...]
    gone: tuple[str, ...]
    whole: bool
    full: bool = False


def plan(seen: Mapping[str, Seen], before: Mapping[str, Seen], state: State) -> Plan:
    """What to do about what is seen, after what was seen before and what is received."""
    return Plan(
        read=tuple(path for path, each in seen.items() if before.get(path) != each),
        gone=tuple(path for path in state if path not in seen),
    )


class Puller:
    """Knows what it has read; after a start it reads everything once."""

    def __init__(self, root: Path, store: Store, clock: Clock, reserve: int) -> None:
        self._root, self._store, self._clock, self._reserve = root, store, clock, reserve
        self._before: dict[str, Seen] = {}

    def pull(self) -> Pulled:
        """Take in what is new, and note what went."""
        now = self._clock.now()
        seen = landing.look(self._root)
        state = self._store.state()
        planned = plan(seen, self._before, state)
        changed: list[str] = []
        moving = full = False
        if planned.gone:
            # First, because a folder may have the name that was a file's.
            self._store.append(*(Line(now, path, "", 0) for path in planned.gone))
        for path in planned.read:
            try:
                sha256 = self._take(path, seen[path].bytes)
            except Moving:
                moving = True
                continue
            except Failed:
                full = True
                continue
            if path not in state or state[path].sha256 != sha256:
                self._store.append(Line(now, path, sha256, seen[path].bytes))
                changed.append(path)
            self._before[path] = seen[path]
        for path in [*self._before]:
            if path not in seen:
                del self._before[path]
        whole = not moving and not full and landing.look(self._root) == seen
        return Pulled(tuple(changed), planned.gone, whole, full)

    def _take(self, path: str, size: int) -> str:
        """The SHA-256 of a file, whose content the store has afterwards."""
        with landing.opened(self._root, path) as stream:
            # What is there already is not written again, above all not after each start.
            sha256 = storing.sum_of(stream, size)
            if not self._store.has(sha256):
                stream.seek(0)
                sha256 = self._store.put(stream, size, self._reserve)
        return sha256
