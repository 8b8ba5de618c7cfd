"""Who watches, on the stand-in engine: what promtool and amtool say, and what they are told."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Said = tuple[str, str, int]
ADDRESS = "http://127.0.0.1:"
AMTOOL = (f"--alertmanager.url={ADDRESS}9093", "--output=json")
PROMTOOL = ("query", "instant", "--format=json", f"{ADDRESS}9090", "slipway:error_budget_left")
SILENT: Said = ("", "dial tcp 127.0.0.1: connection refused\n", 1)
SECONDS = {"m": 60, "h": 3600, "d": 86400}


@dataclass
class Watch:
    """What is measured, fires and is shown, and the silences; nothing is said while `silent`."""

    budgets: dict[str, float] = field(default_factory=dict)
    firing: list[dict[str, Any]] = field(default_factory=list)
    silences: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False

    def fire(self, name: str, severity: str, minutes: float = 5, inhibited: bool = False) -> None:
        """Have an alert fire for so long already."""
        self.firing.append(
            {
                "labels": {"alertname": name, "severity": severity, "service": "postgres"},
                "annotations": {
                    "summary": f"{name} it is",
                    "runbook": f"docs/runbooks/{name}.md",
                },
                "startsAt": moment(-60 * minutes),
                "status": {"inhibitedBy": ["other"] if inhibited else [], "silencedBy": []},
            }
        )

    def tell(self, releases: str) -> Said:
        """Keep what the console is told of releases."""
        if self.silent:
            return SILENT
        self.releases = json.loads(releases)
        return "", "", 0

    def promtool(self, words: Sequence[str]) -> Said:
        """The one question that is asked."""
        assert tuple(words) == PROMTOOL
        if self.silent:
            return SILENT
        found = [
            {"metric": {"objective": name}, "value": [time.time(), str(left)]}
            for name, left in self.budgets.items()
        ]
        return json.dumps(found), "", 0

    def amtool(self, words: Sequence[str]) -> Said:
        """Questions and silences."""
        assert tuple(words[:2]) == AMTOOL
        if self.silent:
            return SILENT
        match tuple(words[2:]):
            case ("alert", "query", "--active", "--silenced", "--inhibited"):
                return json.dumps([self._seen(each) for each in self.firing]), "", 0
            case ("silence", "query"):
                return json.dumps(self.silences), "", 0
            case ("silence", "add", duration, author, comment, *matchers):
                return self._silence(duration, author, comment, matchers), "", 0
            case ("silence", "expire", identifier):
                self.silences = [each for each in self.silences if each["id"] != identifier]
                return "", "", 0
        raise AssertionError(words)

    def _seen(self, alert: dict[str, Any]) -> dict[str, Any]:
        silencing = [
            each["id"]
            for each in self.silences
            if all(alert["labels"].get(one["name"]) == one["value"] for one in each["matchers"])
        ]
        return alert | {"status": alert["status"] | {"silencedBy": silencing}}

    def _silence(self, duration: str, author: str, comment: str, matchers: Sequence[str]) -> str:
        lasts = duration.removeprefix("--duration=")
        identifier = f"silence-{len(self.silences) + 1}"
        pairs = [each.split("=", 1) for each in matchers]
        self.silences.append(
            {
                "id": identifier,
                "endsAt": moment(int(lasts[:-1]) * SECONDS[lasts[-1]]),
                "createdBy": author.removeprefix("--author="),
                "comment": comment.removeprefix("--comment="),
                "matchers": [{"name": name, "value": value} for name, value in pairs],
            }
        )
        return f"{identifier}\n"


def moment(seconds: float) -> str:
    """So many seconds from now, as Alertmanager writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + seconds))
