"""What users are promised, and the rules that follow from it: how fast the budget of errors burns.

An objective of 99.9 leaves a budget of 0.1 % of all requests. The burn is how many times faster
than evenly over the period it is spent; an alert fires when two windows agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway_monitoring.errors import MonitoringError

#: How often it is said what budget is left.
BUDGET_SECONDS = 60
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Objective(_Part):
    """One promise: of `total` at least `target` percent are no `errors`."""

    title: str = Field(min_length=3)
    target: float = Field(gt=0, lt=100)
    target_why: str = Field(min_length=20)
    errors: str
    total: str
    sli_why: str = Field(min_length=20)

    @property
    def budget(self) -> float:
        """The share that may fail."""
        return round(1 - self.target / 100, 10)


class Window(_Part):
    """Two windows that must agree that the budget burns `burn` times too fast."""

    burn: float = Field(gt=0)
    long: str = Field(pattern=r"^\d+[mhd]$")
    short: str = Field(pattern=r"^\d+[mhd]$")
    severity: Literal["page", "ticket"]

    def fires_after(self, burn: float) -> float:
        """Seconds from the beginning of an even burn until this fires; infinity when it never does.

        Right as long as there was traffic and no error in the long window before.
        """
        return seconds(self.long) * self.burn / burn if burn >= self.burn else float("inf")


class Objectives(_Part):
    """All promises, and when somebody is told that one is about to be broken."""

    objectives: dict[str, Objective]
    period_days: int = Field(ge=1)
    least_errors: int = Field(ge=0)
    least_errors_why: str = Field(min_length=20)
    windows: tuple[Window, ...]
    windows_why: str = Field(min_length=20)


def read(path: Path) -> Objectives:
    """Read the file of objectives. Raises MonitoringError that names what is wrong in it."""
    try:
        return Objectives.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        complaints = "; ".join(
            f"{'/'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise MonitoringError(f"{path}: {complaints}") from None


def seconds(duration: str) -> int:
    """A duration such as 30m in seconds."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def rules(found: Objectives, kept_days: int) -> dict[str, Any]:
    """The groups of rules, as Prometheus takes them, where figures are kept for so many days."""
    days = min(found.period_days, kept_days)
    groups: list[dict[str, Any]] = []
    for name, objective in found.objectives.items():
        recorded = list(_recorded(name, objective, found))
        groups.append({"name": f"objective {name}", "rules": recorded})
        budget = list(_budget(name, objective, days))
        groups.append(
            {"name": f"budget of {name}", "interval": f"{BUDGET_SECONDS}s", "rules": budget}
        )
        groups.append(
            {
                "name": f"burn of {name}",
                "rules": [_alert(name, objective, found, each) for each in _pairs(found)],
            }
        )
    return {"groups": groups}


def _recorded(name: str, objective: Objective, found: Objectives) -> Iterator[dict[str, Any]]:
    labels = {"objective": name}
    windows = {each for window in found.windows for each in (window.long, window.short)}
    for window in sorted(windows, key=seconds):
        errors, total = (
            text.replace("{window}", window) for text in (objective.errors, objective.total)
        )
        # Without any request nothing failed; what is not measured stays unknown.
        yield {
            "record": f"slipway:error_ratio:{window}",
            "expr": f"({errors}) / (({total}) > 0) or 0 * ({total})",
            "labels": labels,
        }
    for window in sorted({each.long for each in found.windows}, key=seconds):
        errors = objective.errors.replace("{window}", window)
        expression = f"({errors}) * {seconds(window)}"
        yield {"record": f"slipway:errors:{window}", "expr": expression, "labels": labels}


def _budget(name: str, objective: Objective, days: int) -> Iterator[dict[str, Any]]:
    """How much of the period's budget is left; a time that was not measured failed nobody.

    So a young environment is not out of budget for one bad minute of the hour that it exists.
    """
    labels = {"objective": name}
    errors, total = (text.replace("{window}", "5m") for text in (objective.errors, objective.total))
    yield {
        "record": "slipway:errors_per_second",
        "expr": f"({errors}) or 0 * ({total})",
        "labels": labels,
    }
    yield {"record": "slipway:requests_per_second", "expr": total, "labels": labels}
    # Of these two, because a month of raw figures is more than a question may read.
    failed, asked = (
        f'sum_over_time(slipway:{of}_per_second{{objective="{name}"}}[{days}d])'
        for of in ("errors", "requests")
    )
    times = f'count_over_time(slipway:requests_per_second{{objective="{name}"}}[{days}d])'
    measured = f"{times} * {BUDGET_SECONDS} / {days * _SECONDS['d']}"
    yield {
        "record": "slipway:error_budget_left",
        "expr": f"1 - ({failed} / ({asked} > 0) or 0 * {asked}) * {measured} / {objective.budget}",
        "labels": labels,
    }


def _pairs(found: Objectives) -> Iterator[tuple[str, tuple[Window, ...]]]:
    for severity in ("page", "ticket"):
        windows = tuple(each for each in found.windows if each.severity == severity)
        if windows:
            yield severity, windows


def _alert(
    name: str, objective: Objective, found: Objectives, pair: tuple[str, tuple[Window, ...]]
) -> dict[str, Any]:
    severity, windows = pair
    alert = "".join(word.capitalize() for word in name.split("_"))
    alert += "BudgetBurnsFast" if severity == "page" else "BudgetBurns"
    burning = [_burning(name, objective, each, found.least_errors) for each in windows]
    return {
        "alert": alert,
        "expr": " or ".join(f"({each})" for each in burning),
        "labels": {"severity": severity, "topic": "objectives", "objective": name},
        "annotations": {
            "summary": (
                f"{{{{ $value | humanizePercentage }}}} of requests miss the objective that "
                f"{objective.title} ({objective.target:g} %)"
            ),
        },
    }


def _burning(name: str, objective: Objective, window: Window, least: int) -> str:
    limit = f"{round(min(window.burn * objective.budget, 0.99), 10):g}"
    burning = [
        f'slipway:error_ratio:{each}{{objective="{name}"}} > {limit}'
        for each in (window.long, window.short)
    ]
    enough = f'slipway:errors:{window.long}{{objective="{name}"}} >= {least}'
    return " and ".join((*burning, enough))
