from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from slipway_backend.metrics import BUCKETS, Metrics
from slipway_backend.settings import Level


def lines(level: Level) -> list[str]:
    metrics = Metrics(level)
    metrics.requests.labels("POST", "/v1/query", "200").inc()
    metrics.request_seconds.labels("POST", "/v1/query").observe(0.1)
    with metrics.stage("embed"):
        pass
    metrics.tokens.labels("chat", "tiny", "input").observe(100)
    return generate_latest(metrics.registry).decode().splitlines()


@pytest.mark.parametrize("level", list(BUCKETS))
def test_every_level_tells_availability_and_the_latency_objective(level: Level) -> None:
    found = lines(level)
    assert any(line.startswith("slipway_http_requests_total{") for line in found)
    assert any(
        line.startswith("slipway_http_request_duration_seconds_bucket{") and 'le="0.5"' in line
        for line in found
    )


def test_a_higher_level_gives_more_figures() -> None:
    minimal, standard, full = (len(lines(level)) for level in BUCKETS)
    assert minimal * 1.25 < standard < full / 1.25


def test_a_level_has_the_bounds_of_those_below_so_that_both_can_be_summed() -> None:
    minimal, standard, full = BUCKETS.values()
    for what in ("request", "stage", "tokens"):
        below, between, above = (set(getattr(each, what)) for each in (minimal, standard, full))
        assert below < between < above


def test_figures_of_models_are_named_as_the_conventions_for_generative_ai_name_them() -> None:
    names = {line.split("{")[0] for line in lines("standard")}
    assert "gen_ai_client_token_usage_bucket" in names
    assert {
        f"gen_ai_client_operation_{what}_seconds" for what in ("duration", "time_to_first_chunk")
    } <= {family.name for family in Metrics("full").registry.collect()}
