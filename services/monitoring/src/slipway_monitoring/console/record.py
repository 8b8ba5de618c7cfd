"""What is remembered for the public page: how each day was, and when something was wrong.

Prometheus keeps figures for a month at most; these few lines are kept for ninety days.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from slipway_monitoring.console import files
from slipway_monitoring.errors import MonitoringError

DAYS = 90
DOWN = "Users were not answered"
DEGRADED = "Users were answered, with faults"


@dataclass(frozen=True)
class Day:
    """Questions of the probe on one day, and how many of them were answered."""

    asked: float
    answered: float

    @property
    def share(self) -> float:
        """The share that was answered, 0 to 1."""
        return min(1.0, self.answered / self.asked)


@dataclass(frozen=True)
class Incident:
    """From when to when something was wrong, in seconds since the epoch; `ended` is None so far."""

    began: float
    ended: float | None
    what: str


@dataclass(frozen=True)
class Record:
    """Days by their date, and incidents, the newest first."""

    days: Mapping[str, Day] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()

    @property
    def open(self) -> Incident | None:
        """What is wrong now."""
        newest = self.incidents[0] if self.incidents else None
        return newest if newest is not None and newest.ended is None else None

    def with_days(self, days: Mapping[str, Day], now: float) -> Record:
        """The same with these days, and without those that are too old."""
        kept = {name: day for name, day in {**self.days, **days}.items() if day.asked > 0}
        first = date(now - (DAYS - 1) * 86400)
        return replace(self, days={name: kept[name] for name in sorted(kept) if name >= first})

    def seen(self, pages: Iterable[float], *, answered: bool | None, now: float) -> Record:
        """What follows from the alerts that are worth getting up for, by when they began.

        `answered` is whether users are, None when that is not known.
        """
        begins = list(pages)
        current = self.open
        since = now - DAYS * 86400
        earlier = tuple(each for each in self.incidents if (each.ended or now) >= since)
        if not begins and current is None:
            return replace(self, incidents=earlier)
        if not begins:
            assert current is not None
            return replace(self, incidents=(replace(current, ended=now), *earlier[1:]))
        what = DOWN if answered is False else DEGRADED
        if current is None:
            return replace(self, incidents=(Incident(min(begins), None, what), *earlier))
        # What was worse once is remembered as that.
        worst = DOWN if DOWN in {current.what, what} else what
        return replace(self, incidents=(replace(current, what=worst), *earlier[1:]))


def date(moment: float) -> str:
    """The day of a moment, in UTC."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def moment(text: str) -> float:
    """A moment as Alertmanager writes it, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def beginning(day: str) -> float:
    """When a day begins."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def midnights(now: float, days: int) -> dict[str, float]:
    """The last days by their date, each with the moment it ends at, today with now."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = {date(now): now}
    for back in range(1, days):
        begin = today - timedelta(days=back)
        ends[begin.date().isoformat()] = (begin + timedelta(days=1)).timestamp()
    return ends


def read(path: Path) -> Record:
    """What was written; nothing where nothing was. Raises MonitoringError for anything else."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            {name: Day(**each) for name, each in told["days"].items()},
            tuple(Incident(**each) for each in told["incidents"]),
        )
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MonitoringError(
            f"{path} is not what was written there ({error}); move it away to begin anew"
        ) from error


def write(path: Path, record: Record) -> None:
    """Write it down. Raises OSError."""
    told: dict[str, Any] = {
        "days": {name: asdict(day) for name, day in record.days.items()},
        "incidents": [asdict(each) for each in record.incidents],
    }
    files.write(path, json.dumps(told))
