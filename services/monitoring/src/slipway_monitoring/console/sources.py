"""Asking Prometheus and Alertmanager, within bounds; who does not answer is not taken for zero."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from slipway_monitoring.errors import MonitoringError

SECONDS = 10.0
#: Questions at once: Prometheus takes eight.
AT_ONCE = 4
#: Points of a graph: as many as a wide screen can show.
POINTS = 300
#: As often as it is asked at most, so that graphs of a short time have no steps.
LEAST_STEP = 15


@dataclass(frozen=True)
class Sample:
    """One series now: its labels and its value."""

    labels: Mapping[str, str]
    value: float


Samples = tuple[Sample, ...]


class Sources:
    """Prometheus and Alertmanager of one environment."""

    def __init__(self, http: httpx.AsyncClient, prometheus: str, alertmanager: str) -> None:
        self._http = http
        self._prometheus = prometheus
        self._alertmanager = alertmanager
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def now(self, queries: Mapping[str, str]) -> dict[str, Samples | None]:
        """What each expression is now, by name; None for one that got no answer."""
        answers = await asyncio.gather(*(self._now(each) for each in queries.values()))
        return dict(zip(queries, answers, strict=True))

    async def _now(
        self, query: str, more: Mapping[str, str | float] | None = None
    ) -> Samples | None:
        try:
            found = await self._asked("/api/v1/query", {"query": query, **(more or {})})
        except MonitoringError:
            return None
        samples = (Sample(each["metric"], float(each["value"][1])) for each in found["result"])
        return tuple(each for each in samples if math.isfinite(each.value))

    async def over(self, query: str, start: float, end: float) -> dict[str, Any]:
        """An expression over a time: seconds of its points, and per series labels and values.

        A value is None where there was none. Raises MonitoringError without an answer.
        """
        step = max(LEAST_STEP, math.ceil((end - start) / POINTS))
        first = math.floor(start / step) * step
        asked: dict[str, str | float] = {"query": query, "start": first, "end": end, "step": step}
        found = await self._asked("/api/v1/query_range", asked)
        times = list(range(first, math.floor(end) + 1, step))
        return {"times": times, "series": [_series(each, times) for each in found["result"]]}

    async def at(self, query: str, moment: float) -> Samples | None:
        """What an expression was at a moment; None without an answer."""
        return await self._now(query, {"time": moment})

    async def alerts(self) -> list[dict[str, Any]] | None:
        """What fires, as Alertmanager tells it; None when it does not answer."""
        try:
            answer = await self._http.get(f"{self._alertmanager}/api/v2/alerts", timeout=SECONDS)
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        return found if isinstance(found, list) else None

    async def _asked(self, path: str, asked: Mapping[str, str | float]) -> dict[str, Any]:
        async with self._turn:
            try:
                answer = await self._http.get(
                    self._prometheus + path, params=dict(asked), timeout=SECONDS
                )
                told = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                raise MonitoringError(f"Prometheus does not answer: {error}") from error
        if told.get("status") != "success":
            raise MonitoringError(f"Prometheus refused: {told.get('error', answer.status_code)}")
        found = told["data"]
        assert isinstance(found, dict)
        return found


def _series(told: Mapping[str, Any], times: list[int]) -> dict[str, Any]:
    known = {round(moment): float(value) for moment, value in told["values"]}
    values = [known.get(each) for each in times]
    finite = [each if each is not None and math.isfinite(each) else None for each in values]
    return {"labels": told["metric"], "values": finite}
