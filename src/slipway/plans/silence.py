"""What a silence keeps back, for how long and why, as it was typed."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from slipway.errors import Refused
from slipway.facts.monitoring import DEAD_MAN
from slipway.plans import durations

#: A fault that is known for longer than a month is no reason for silence, but work to be done.
LONGEST_SECONDS = 31 * 86400


@dataclass(frozen=True)
class Silence:
    """One alert, of one service or of all, that nobody is told of for a while."""

    alert: str
    service: str
    duration: str
    reason: str

    @property
    def matchers(self) -> tuple[str, ...]:
        """What Alertmanager compares an alert with."""
        service = (f"service={self.service}",) if self.service else ()
        return (f"alertname={self.alert}", *service)

    def __str__(self) -> str:
        of = f" of {self.service}" if self.service else ""
        return f"{self.alert}{of} for {self.duration}: {self.reason}"


def wanted(alert: str, service: str, duration: str, reason: str, known: Collection[str]) -> Silence:
    """The silence that was typed. Raises Refused with what is wrong with it."""
    if not alert:
        raise Refused("Which alert? Give --alert NAME", next_command="invoke alerts")
    if alert not in known:
        near = get_close_matches(alert, known, n=3, cutoff=0.5)
        meant = f" (perhaps {' or '.join(near)})" if near else ""
        raise Refused(
            f"There is no alert {alert!r}{meant}: docs/runbooks/README.md has all of them"
        )
    if alert == DEAD_MAN:
        raise Refused(
            f"{DEAD_MAN} says that alerts work, and its silence is the alarm: whoever hears it "
            "off the host can be told to wait, not Alertmanager"
        )
    if durations.seconds(duration, "--duration") > LONGEST_SECONDS:
        raise Refused(f"--duration {duration} is too long: at most 31d, and then again")
    if service and not re.fullmatch(r"[A-Za-z0-9_.-]+", service):
        raise Refused(f"--service {service!r} cannot be a service's name")
    if not reason.strip():
        raise Refused("Why? Give --reason, for whoever wonders why nobody was told")
    return Silence(alert, service, duration, " ".join(reason.split()))
