"""When a burning budget is told, against the formula: window x threshold / burn."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from slipway_monitoring import objectives, prometheus
from slipway_monitoring.errors import MonitoringError

FILE = prometheus.HERE / "objectives.yaml"
FOUND = objectives.read(FILE)


@pytest.mark.parametrize(
    ("burn", "seconds"),
    [
        # Everything fails: 1 / 0.001.
        (1000, 51.84),
        (100, 518.4),
        (14.4, 3600),
        (10, 12960),
        (6, 21600),
        (3, 86400),
        (1, 259200),
        (0.9, float("inf")),
    ],
)
def test_the_first_alert_of_a_burn(burn: float, seconds: float) -> None:
    first = min(window.fires_after(burn) for window in FOUND.windows)
    assert first == pytest.approx(seconds)


def test_each_window_is_recorded_once_for_each_objective() -> None:
    groups = objectives.rules(FOUND, 30)["groups"]
    recorded = [
        (rule["record"], rule["labels"]["objective"])
        for group in groups
        for rule in group["rules"]
        if "record" in rule
    ]
    assert len(recorded) == len(set(recorded)) == 2 * (7 + 4 + 3)


def test_a_burn_is_compared_with_the_share_that_may_fail() -> None:
    rules = {
        rule["alert"]: rule["expr"]
        for group in objectives.rules(FOUND, 30)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    fast = rules["AvailabilityBudgetBurnsFast"]
    assert 'slipway:error_ratio:1h{objective="availability"} > 0.0144' in fast
    assert 'slipway:error_ratio:5m{objective="availability"} > 0.0144' in fast
    assert 'slipway:error_ratio:6h{objective="availability"} > 0.006' in fast
    assert (
        'slipway:error_ratio:3d{objective="availability"} > 0.001'
        in rules["AvailabilityBudgetBurns"]
    )
    assert 'slipway:errors:1h{objective="availability"} >= 10' in fast
    # 14.4 times a twentieth is more than what one half of all is.
    assert (
        'slipway:error_ratio:1h{objective="query_latency"} > 0.72'
        in rules["QueryLatencyBudgetBurnsFast"]
    )


def test_a_threshold_without_a_reason_is_refused(tmp_path: Path) -> None:
    told = yaml.safe_load(FILE.read_text())
    del told["objectives"]["availability"]["target_why"]
    path = tmp_path / "objectives.yaml"
    path.write_text(yaml.safe_dump(told))
    with pytest.raises(MonitoringError, match="objectives/availability/target_why: Field required"):
        objectives.read(path)


@pytest.mark.parametrize(("kept", "days"), [(7, 7), (30, 30), (365, 30)])
def test_a_budget_is_of_the_period_or_of_what_is_kept_of_it(kept: int, days: int) -> None:
    budgets = [
        rule["expr"]
        for group in objectives.rules(FOUND, kept)["groups"]
        for rule in group["rules"]
        if rule.get("record") == "slipway:error_budget_left"
    ]
    assert len(budgets) == 2
    for each in budgets:
        assert f"[{days}d]" in each
        assert f"* 60 / {days * 86400} /" in each
