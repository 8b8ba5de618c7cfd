"""Keeps the record of the public page, for as long as the console runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from slipway_monitoring.console import record
from slipway_monitoring.console.record import Day, Record
from slipway_monitoring.console.sources import Sources
from slipway_monitoring.logs import log

SECONDS = 30.0
#: Earlier days are looked at again this often: the console may have been away when they ended.
EARLIER_SECONDS = 3600.0
EARLIER_DAYS = 7
ASKED = "sum by (outcome) (increase(slipway_probe_questions_total[{seconds}s]))"
ANSWERED = "slipway_probe_success"
QUIET = ("silencedBy", "inhibitedBy")


class Keeper:
    """What is remembered, and the round that brings it up to date."""

    def __init__(self, sources: Sources, path: Path) -> None:
        self._sources = sources
        self._path = path
        self._earlier = float("-inf")
        self.record: Record = record.read(path)

    async def run(self) -> None:
        """Look again and again; what cannot be written is told, and tried again."""
        while True:
            try:
                await self.round(time.time())
            except OSError as error:
                log("error", "console", "the record cannot be written", reason=str(error))
            await asyncio.sleep(SECONDS)

    async def round(self, now: float) -> None:
        """Look once. Raises OSError when it cannot be written down."""
        known = await self._days(now)
        found = self.record.with_days(known, now)
        alerts = await self._sources.alerts()
        if alerts is not None:
            answered = await self._sources.at(ANSWERED, now)
            begins = [
                record.moment(each["startsAt"])
                for each in alerts
                if each["labels"].get("severity") == "page"
                and not any(each["status"][name] for name in QUIET)
            ]
            success = bool(answered[0].value) if answered else None
            found = found.seen(begins, answered=success, now=now)
        if found != self.record:
            record.write(self._path, found)
            self.record = found

    async def _days(self, now: float) -> dict[str, Day]:
        """Today so far, and from time to time the days before."""
        again = now - self._earlier > EARLIER_SECONDS
        ends = record.midnights(now, EARLIER_DAYS if again else 1)
        found: dict[str, Day] = {}
        for name, end in ends.items():
            length = max(60, round(end - record.beginning(name)))
            told = await self._sources.at(ASKED.format(seconds=length), end)
            if told is None:
                return found
            counted = {each.labels.get("outcome", ""): each.value for each in told}
            if asked := sum(counted.values()):
                found[name] = Day(round(asked, 1), round(counted.get("answered", 0.0), 1))
        if again:
            self._earlier = now
        return found
