"""What those who watch an environment say: what fires, what is silenced, what budget is left."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from slipway.commands import monitoring as commands
from slipway.errors import SlipwayError
from slipway.run import run

ASK_SECONDS = 20

#: `told`: people are told of it. `silenced`: somebody asked for silence. `explained`: a worse alert
#: says it already.
State = Literal["told", "silenced", "explained"]


@dataclass(frozen=True)
class Alert:
    """Something that fires; `since` is in seconds, `about` its labels that tell it from others."""

    name: str
    severity: str
    summary: str
    runbook: str
    since: float
    state: State
    about: Mapping[str, str]


@dataclass(frozen=True)
class Budgets:
    """Objective -> what is left of its budget of errors: 1 is all of it, 0 or less is none.

    An objective of which nothing was measured yet is not in it. `unknown` says why there is no
    answer though somebody watches.
    """

    left: Mapping[str, float] = field(default_factory=dict)
    unknown: str = ""

    @property
    def spent(self) -> tuple[str, ...]:
        """The objectives whose budget is spent."""
        return tuple(name for name, left in self.left.items() if left <= 0)

    @property
    def warning(self) -> str:
        """What whoever releases has to hear; empty while something is left."""
        if self.unknown:
            return f"how much error budget is left is not known: {self.unknown}"
        return f"error budget is spent: {self} left" if self.spent else ""

    def __str__(self) -> str:
        return ", ".join(f"{name} {left:.0%}" for name, left in self.left.items())


@dataclass(frozen=True)
class Silence:
    """A silence: `matchers` as they were typed, `until` in seconds."""

    id: str
    matchers: tuple[str, ...]
    until: float
    author: str
    reason: str


#: The labels that every alert has, or that another field says.
_COMMON = frozenset({"alertname", "severity", "topic", "environment", "job"})
#: It fires always, so that its absence is heard.
DEAD_MAN = "Watchdog"
_WORST = {"page": 0, "ticket": 1}


def alerts(container: str) -> tuple[Alert, ...]:
    """What fires, the worst first; not what fires always. Raises SlipwayError without answer."""
    found = [_alert(each) for each in _answer(commands.alerts(container))]
    fires = [each for each in found if each.name != DEAD_MAN]
    return tuple(sorted(fires, key=lambda each: (_WORST.get(each.severity, 2), each.since)))


def silences(container: str) -> tuple[Silence, ...]:
    """The silences that hold, the first to end first. Raises SlipwayError without an answer."""
    found = [_silence(each) for each in _answer(commands.silences(container))]
    return tuple(sorted(found, key=lambda each: each.until))


def budgets(container: str) -> Mapping[str, float]:
    """What is left of each budget of errors. Raises SlipwayError without an answer."""
    found = {
        str(each["metric"].get("objective", "")): float(each["value"][1])
        for each in _answer(commands.query(container, commands.BUDGET))
    }
    return {name: left for name, left in sorted(found.items()) if not math.isnan(left)}


def _answer(command: commands.Argv) -> list[Any]:
    output = run(command, timeout=ASK_SECONDS).output
    try:
        found = json.loads(output)
    except ValueError as error:
        raise SlipwayError(f"{command[3]} answered what is no JSON: {output[:200]}") from error
    return found if isinstance(found, list) else []


def _alert(found: Mapping[str, Any]) -> Alert:
    labels, notes, status = found["labels"], found["annotations"], found["status"]
    state: State = "told"
    if status["silencedBy"]:
        state = "silenced"
    elif status["inhibitedBy"]:
        state = "explained"
    return Alert(
        name=labels["alertname"],
        severity=labels.get("severity", ""),
        summary=notes.get("summary", ""),
        runbook=notes.get("runbook", ""),
        since=_moment(found["startsAt"]),
        state=state,
        about={name: value for name, value in sorted(labels.items()) if name not in _COMMON},
    )


def _silence(found: Mapping[str, Any]) -> Silence:
    return Silence(
        id=found["id"],
        matchers=tuple(f"{each['name']}={each['value']}" for each in found["matchers"]),
        until=_moment(found["endsAt"]),
        author=found["createdBy"],
        reason=found["comment"],
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
