"""When points are taken and drills held, how many are kept, and where the second copy goes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

from apscheduler.triggers.cron import CronTrigger
from pydantic import BaseModel, ConfigDict, Field, field_validator

Kind = Literal["full", "diff", "incr"]
#: From the one that copies most to the one that copies least: each makes up for those after it.
KINDS: tuple[Kind, ...] = ("full", "diff", "incr")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[1-9]\d*))?")


class Strict(BaseModel):
    """Settings without any key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Keep(Strict):
    """How many full points are kept, and differential ones; those between go with them."""

    full: int = Field(4, ge=1, le=1000)
    differential: int = Field(14, ge=1, le=1000)


class Second(Strict):
    """A repository off this machine: S3-compatible, by SFTP, or another path."""

    kind: Literal["s3", "sftp", "path"]
    path: str = Field("/slipway", description="folder, or prefix within the bucket")
    host: str = ""
    user: str = ""
    port: int = Field(22, ge=1, le=65535)
    host_fingerprint: str = Field("", description="SHA-256 of the SFTP server's key, hexadecimal")
    bucket: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    uri_style: Literal["host", "path"] = "path"
    keep: Keep = Field(default_factory=Keep)


class Keeping(Strict):
    """What a keeper goes by. All of it is counted by the time at which it received something."""

    look_seconds: float = Field(30, gt=0, description="between two looks at the landing folder")
    days: float = Field(35, gt=0, description="points received within are kept")
    points: int = Field(7, ge=1, description="so many of the newest are kept, however old")
    guarded_days: float = Field(7, ge=0, description="a point younger than this goes by no rule")
    silent_hours: float = Field(26, gt=0, description="longest time without a new point")
    backdated_hours: float = Field(24, gt=0, description="longest way of a point to the keeper")
    future_minutes: float = Field(10, gt=0, description="what clocks may differ by")
    reserve_percent: float = Field(10, ge=1, le=90, description="of its disk, never taken")
    repeat_hours: float = Field(24, gt=0, description="until a problem that lasts is told again")


class Policy(Strict):
    """The schedule as lines of crontab in UTC, an empty one for never."""

    full: str = "0 2 * * 0"
    differential: str = "0 2 * * 1-6"
    incremental: str = "0 */6 * * *"
    drill: str = "0 5 * * *"
    keep: Keep = Field(default_factory=Keep)
    second: Second | None = None

    @field_validator("full", "differential", "incremental", "drill", mode="before")
    @classmethod
    def _a_crontab_line(cls, value: str | None) -> str:
        line = value or ""
        if line:
            trigger(line)
        return line

    def line(self, kind: Kind) -> str:
        """The crontab line of a kind of point."""
        return {"full": self.full, "diff": self.differential, "incr": self.incremental}[kind]

    def longest_gap(self, now: datetime) -> timedelta | None:
        """The longest time between two points as scheduled in the next two weeks, or None."""
        times = sorted(
            {when for kind in KINDS if self.line(kind) for when in firing(self.line(kind), now)}
        )
        gaps = [later - earlier for earlier, later in pairwise(times)]
        return max(gaps, default=None)


def trigger(line: str) -> CronTrigger:
    """APScheduler's trigger for a crontab line. Raises ValueError for what is none.

    APScheduler counts days of the week from Monday, crontab from Sunday: they get their names.
    """
    fields = line.split()
    if len(fields) == 5 and fields[4] != "*":
        fields[4] = weekdays(fields[4])
    made: CronTrigger = CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    return made


def weekdays(field: str) -> str:
    """The names of a crontab's days of the week. Raises ValueError for what are none."""
    found: set[str] = set()
    for part in field.split(","):
        match = DAY.fullmatch(part.lower())
        if match is None:
            raise ValueError(f"{part!r} is no day of the week")
        begin = 0 if match["first"] == "*" else _day(match["first"])
        alone = not match["step"] and match["first"] != "*"
        end = _day(match["last"]) if match["last"] else begin if alone else 6
        found.update(DAYS[begin : end + 1 : int(match["step"] or 1)])
    if not found:
        raise ValueError(f"{field!r} has no day of the week in it")
    return ",".join(day for day in DAYS[:7] if day in found)


def _day(word: str) -> int:
    number = int(word) if word.isdecimal() else DAYS.index(word)
    if number >= len(DAYS):
        raise ValueError(f"{word} is no day of the week: 0 to 7")
    return number


def firing(line: str, now: datetime, days: int = 14) -> list[datetime]:
    """When a crontab line fires in the days to come, at most so many times as fit a minute each."""
    times: list[datetime] = []
    found = trigger(line).get_next_fire_time(None, now)
    while found is not None and found < now + timedelta(days=days) and len(times) < 2000:
        times.append(found)
        found = trigger(line).get_next_fire_time(found, found + timedelta(seconds=1))
    return times


def previous(line: str, now: datetime) -> datetime | None:
    """The last time a crontab line fired before `now`, looking back a month; None without one."""
    made = trigger(line)
    for days in (1, 2, 8, 32):
        last: datetime | None = None
        found = made.get_next_fire_time(None, now - timedelta(days=days))
        while found is not None and found <= now:
            last = found
            found = made.get_next_fire_time(found, found + timedelta(seconds=1))
        if last is not None:
            return last
    return None
