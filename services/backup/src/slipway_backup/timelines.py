"""Which of a database's timelines a time was on, and which copies lead there.

Every promotion begins a timeline: a switchover goes on with what was there, a restore leaves what
came after its point behind, on the timeline from before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from slipway_backup import history, points
from slipway_backup.points import Stored
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database
from slipway_backup.sources.database import Copy

#: A timeline's ancestors, each with the place in the log at which it was left.
Ancestors = Mapping[int, int]


@dataclass(frozen=True)
class Timelines:
    """The timelines that an archive knows; 1 has no ancestors and is in none of its files."""

    known: frozenset[int]
    ancestors: Callable[[int], Ancestors]

    def of(
        self,
        listed: Sequence[Stored],
        wanted: datetime | None,
        restores: Collection[datetime] = (),
    ) -> int:
        """The timeline of a time: that of the first point after it, else the newest.

        Before a restore over an environment there is a point, so that what was there before is
        found on the timeline that was left. Where the database could not be asked for one any
        more, the time before such a restore is on the timeline of the last point before it.
        """
        if wanted is not None:
            before = [each for each in listed if each.point.when < wanted]
            after = [each for each in listed if each.point.when >= wanted]
            left = [each for each in restores if wanted < each]
            if before and left and (not after or min(left) <= after[0].point.when):
                return _timeline(before[-1])
            if after:
                return _timeline(after[0])
        return max((1, *self.known, *map(_timeline, listed)))

    def leads(self, copy: Copy, timeline: int) -> bool:
        """Whether a copy was whole before its own timeline was left on the way to that one."""
        own = int(copy.start_segment[:8], 16)
        if own == timeline:
            return True
        left = self.ancestors(timeline).get(own) if timeline in self.known else None
        return left is not None and copy.stop_lsn <= left


def restores(settings: Settings) -> list[datetime]:
    """When restores over the environment began, as far as this repository's service was told."""
    began = []
    for line in history.read(settings, "restore"):
        ended = datetime.fromisoformat(line["at"])
        began.append(ended - timedelta(seconds=line["seconds"]["all"]))
    return began


def read(settings: Settings, repository: Repository) -> Timelines:
    """The timelines of a repository's archive."""
    files = database.histories(settings, repository)

    def ancestors(timeline: int) -> Ancestors:
        return parse(database.content(settings, repository, files[timeline]))

    return Timelines(frozenset(files), ancestors)


def unnamed(settings: Settings, repository: Repository, timeline: int) -> list[int]:
    """The numbers after a timeline's that were used, and that the archive has no file about.

    A server that recovers takes the number after the last file that it finds without a gap: one
    that was promoted twice before a file of its was archived would have its number used again.
    """
    used: set[int] = set()
    for place, listed in points.reachable(settings):
        used |= set(map(_timeline, listed))
        used |= {int(name[:8], 16) for name in database.archived(settings, place)}
        used |= set(database.histories(settings, place))
    told = set(database.histories(settings, repository))
    return [each for each in range(timeline + 1, max(used, default=0) + 1) if each not in told]


def _timeline(stored: Stored) -> int:
    return int(stored.point.database["timeline"])


def parse(text: str) -> Ancestors:
    """PostgreSQL's own file about a timeline: on each line an ancestor and where it was left."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {int(words[0]): database.lsn(words[1]) for words in lines if len(words) > 1}
