"""What a keeper answers: health, and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from slipway_backup.keeper import keep
from slipway_backup.keeper import store as storing
from slipway_backup.keeper.keep import Keeper

#: Every code that a problem may have, so that a figure of each is there before it is wrong.
CODES = (
    *("deleted", "expired", "forgotten", "spoiled", "overwritten", "key", "backdated", "future"),
    *("unfinished", "unreadable", "landing_filling", "keeper_filling", "keeper_full", "clock"),
    *("silent", "failing"),
)


def make_app(keeper: Keeper) -> FastAPI:
    """The application; whoever reaches it is told no secret, and changes nothing."""
    app = FastAPI(title="Slipway keeper", docs_url=None, redoc_url=None, openapi_url=None)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Figures(keeper))

    @app.get("/health/ready")
    @app.get("/health")
    def ready(response: Response) -> dict[str, Any]:
        told = keep.told(keeper)
        response.status_code = 200 if told["looking"] else 503
        return told

    @app.get("/metrics")
    def figures() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


class Figures(Collector):
    """How a keeper is, as figures."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        """Look at what the last look left."""
        keeper = self._keeper
        family = GaugeMetricFamily(
            "slipway_keeper_problem", "1 while it is wrong.", labels=["code"]
        )
        found = {each.code for each in keeper.problems}
        for code in CODES:
            family.add_metric([code], int(code in found))
        yield family
        yield _gauge("alerts_untold", "Alerts that the webhook did not take.", keeper.untold)
        yield _gauge("points", "Points that are kept.", len(keeper.judged.known))
        yield _gauge("free_bytes", "Room on its disk.", storing.room(keeper.store.root))
        yield _gauge("reserve_bytes", "Room that it never takes.", keeper.reserve)
        if keeper.looked:
            yield _gauge("looked_timestamp_seconds", "Its last look.", keeper.looked.timestamp())
        if keeper.judged.known:
            newest = keeper.judged.known[-1].received
            what = "When the newest point was received."
            yield _gauge("received_timestamp_seconds", what, newest.timestamp())


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"slipway_keeper_{name}", what, value=value)
