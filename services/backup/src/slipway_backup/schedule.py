"""What is due: by the schedule and by what was done, so that a missed time is made up for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from slipway_backup import drill, errors, history, lock, logs, taking
from slipway_backup.errors import BackupError
from slipway_backup.policy import KINDS, Kind, Policy, previous
from slipway_backup.settings import Settings

TICK_SECONDS = 10
#: After a failure nothing is tried again before this.
PAUSE = timedelta(minutes=10)


def due(policy: Policy, lines: Sequence[dict[str, Any]], now: datetime) -> Kind | None:
    """The kind of point that is due, or None. A fuller one makes up for those below it.

    One is due at once where a part of the log was lost: what is written from then on can only be
    restored on top of it.
    """
    if resting([each for each in lines if each["kind"] == "run"], now):
        return None
    for index, kind in enumerate(KINDS):
        line = policy.line(kind)
        scheduled = previous(line, now) if line else None
        if scheduled is None:
            continue
        good = [
            datetime.fromisoformat(each["at"])
            for each in lines
            if each["kind"] == "run" and each.get("ok") and each["wanted"] in KINDS[: index + 1]
        ]
        if not good or max(good) < scheduled:
            return kind
    scheduled_any = any(policy.line(kind) for kind in KINDS)
    return "incr" if scheduled_any and history.gap(lines) else None


def drill_due(policy: Policy, lines: Sequence[dict[str, Any]], now: datetime) -> bool:
    """Whether a drill is due; there must be a point to hold it with."""
    if not policy.drill or not any(each["kind"] == "run" and each.get("ok") for each in lines):
        return False
    scheduled = previous(policy.drill, now)
    held = [datetime.fromisoformat(each["at"]) for each in lines if each["kind"] == "drill"]
    return scheduled is not None and (not held or max(held) < scheduled)


def resting(runs: Sequence[dict[str, Any]], now: datetime) -> bool:
    """Whether the last run failed a moment ago."""
    if not runs or runs[-1].get("ok"):
        return False
    return now - datetime.fromisoformat(runs[-1]["at"]) < PAUSE


def start(settings: Settings) -> BackgroundScheduler:
    """Look every few seconds what is due and do it, one thing at a time."""
    scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone="UTC")
    options = {"seconds": TICK_SECONDS, "max_instances": 1, "coalesce": True}
    scheduler.add_job(
        tick, "interval", args=[settings], misfire_grace_time=None, id="tick", **options
    )
    scheduler.start()
    return scheduler


def tick(settings: Settings) -> None:
    """Do what is due."""
    lines = history.read(settings, "run", "drill", "gap")
    kind = due(settings.backup_policy, lines, history.now())
    try:
        if kind is not None:
            logs.log("info", "taking a point", kind=kind)
            point = taking.run(settings, kind, cause="scheduled").stored.point
            logs.log("info", "a point was taken", point=point.id, kind=point.kind)
        elif drill_due(settings.backup_policy, lines, history.now()):
            with lock.shared(settings.reading):
                found = drill.run(settings)
            level = "error" if found.failures else "info"
            logs.log(level, "a drill was held", point=found.point, failures=found.failures)
    except (BackupError, *errors.OTHERS) as error:
        failed = errors.own(error)
        logs.log("error", "what was due failed", reason=str(failed), next=failed.next)
