"""Prometheus figures, made of what was written down at the moment they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from slipway_backup import history, lock, status
from slipway_backup.policy import KINDS
from slipway_backup.settings import Settings


class Figures(Collector):
    """How the backups are, as figures. One that is not known is left out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Look, and tell."""
        told = status.summary(self._settings)
        yield from _times(self._settings)
        yield from _working(self._settings)
        yield from _points(told)
        yield from _archive(told["archive"])
        yield from _drill(told["last_drill"], proved=told["drills_ok"])
        space = told["repository"]
        yield _gauge("repository_bytes", "Size of the repository here.", space["bytes"])
        yield _gauge("repository_free_bytes", "Room left on its disk.", space["free_bytes"])
        yield _gauge("repository_total_bytes", "Size of its disk.", space["total_bytes"])
        yield _gauge("problems", "Things somebody has to look at.", len(told["problems"]))


def registry(settings: Settings) -> CollectorRegistry:
    """A registry with these figures and the process's own."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(Figures(settings))
    return made


def _times(settings: Settings) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "slipway_backup_last_success_timestamp_seconds",
        "When a point of this kind, or a fuller one, was taken last.",
        labels=["kind"],
    )
    runs = history.read(settings, "run")
    for index, kind in enumerate(KINDS):
        good = [each for each in runs if each.get("ok") and each.get("taken") in KINDS[: index + 1]]
        if when := history.time(good[-1] if good else None):
            family.add_metric([kind], when.timestamp())
    yield family


def _working(settings: Settings) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "slipway_backup_working_seconds",
        "How long a run or a drill has been at work; absent while there is none.",
        labels=["work"],
    )
    for work in ("run", "drill"):
        if began := lock.since(settings.work_directory / f"{work}.lock"):
            family.add_metric([work], (history.now() - began).total_seconds())
    yield family


def _points(told: dict[str, Any]) -> Iterator[Metric]:
    run = told["last_run"]
    if run is not None:
        yield _gauge("last_run_ok", "1 when the last run made a point.", int(run["ok"]))
        yield _gauge("last_run_seconds", "How long the last run took.", run["seconds"])
    if run is not None and run["ok"]:
        yield _gauge("last_added_bytes", "What the last point added.", run["added_bytes"])
    if told["point_age_seconds"] is not None:
        yield _gauge("point_age_seconds", "Age of the newest point.", told["point_age_seconds"])


def _archive(told: dict[str, Any]) -> Iterator[Metric]:
    yield _gauge("archive_receiving", "1 while the log is received.", int(told["receiving"]))
    yield _gauge("archive_failing", "1 while it is not archived.", int(bool(told.get("error"))))
    if told.get("behind_seconds") is not None:
        yield _gauge(
            "archive_behind_seconds",
            "Age of the oldest write that is not archived.",
            told["behind_seconds"],
        )


def _drill(drill: dict[str, Any] | None, *, proved: bool) -> Iterator[Metric]:
    if drill is None:
        return
    what = "1 when the last drill of each repository proved everything."
    yield _gauge("drill_ok", what, int(proved))
    when = history.time(drill)
    if when is not None:
        yield _gauge("drill_timestamp_seconds", "When it was held.", when.timestamp())
    yield _gauge("drill_key_escrowed", "1 with the escrowed key.", int(drill["key"] == "escrow"))
    for name, what in (("rto", "to restore"), ("rpo", "of writes that would be lost")):
        value = drill.get(f"{name}_seconds")
        if value is not None:
            yield _gauge(f"drill_{name}_seconds", f"Seconds {what}.", value)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"slipway_backup_{name}", what, value=value)
