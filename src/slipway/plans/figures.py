"""What the edge counted of each generation's answers, and whether a new one is as good."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slipway.config.environment import Soak

#: A p95 below this, in seconds, is never too slow: half of what a person notices as a delay.
UNNOTICED_SECONDS = 0.1


@dataclass(frozen=True)
class Figures:
    """Requests answered, those that failed, and how many took at most each bound in seconds."""

    requests: int = 0
    failed: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)

    def since(self, earlier: Figures) -> Figures:
        """What was counted after `earlier`; all of it where an edge began anew in between."""
        if self.requests < earlier.requests or self.failed < earlier.failed:
            return self
        return Figures(
            self.requests - earlier.requests,
            self.failed - earlier.failed,
            {bound: count - earlier.buckets.get(bound, 0) for bound, count in self.buckets.items()},
        )

    @property
    def failed_percent(self) -> float:
        """The part of the requests that failed."""
        return 100 * self.failed / self.requests if self.requests else 0.0

    @property
    def p95(self) -> float:
        """The seconds that 95 of 100 answers stayed under, read between two bounds."""
        wanted = 0.95 * self.requests
        lower, below = 0.0, 0
        for bound, count in sorted(self.buckets.items()):
            if count >= wanted > below:
                part = (wanted - below) / (count - below)
                return lower if math.isinf(bound) else lower + part * (bound - lower)
            lower, below = bound, count
        return 0.0


NOTHING = Figures()
#: What one edge counted, by generation.
Counts = Mapping[int, Figures]


def parse(status: Mapping[str, Any]) -> dict[int, Figures]:
    """The figures of each generation in an edge's status; none from an edge that counts none."""
    return {
        int(generation): Figures(
            counted["requests"],
            counted["failed"],
            {float(bound): count for bound, count in counted["buckets"].items()},
        )
        for generation, counted in (status.get("figures") or {}).items()
    }


def total(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, int]:
    """Requests served and failed between two readings of each edge, for the ledger.

    An edge that is not among those before began after them, at nothing.
    """
    counted = [
        each.since(before.get(edge, {}).get(number, NOTHING))
        for edge, counts in after.items()
        for number, each in counts.items()
    ]
    failed = sum(each.failed for each in counted)
    return {"served": sum(each.requests for each in counted) - failed, "failed": failed}


def complaint(limits: Soak, new: Figures, old: Figures) -> str | None:
    """Why the new generation is worse than the limits allow, or None.

    A few requests tell nothing. What fails with the old generation too is no fault of the new.
    """
    if new.requests < limits.requests:
        return None
    more = new.failed_percent - old.failed_percent
    if more > limits.failed_percent:
        return (
            f"{new.failed} of {new.requests} requests failed: {new.failed_percent:.1f} %, before "
            f"{old.failed_percent:.1f} % (soak/failed_percent allows {limits.failed_percent:g} % "
            "more)"
        )
    comparable = old.requests >= limits.requests
    if comparable and new.p95 > max(UNNOTICED_SECONDS, limits.slower * old.p95):
        return (
            f"95 % of the answers took up to {new.p95:.2f} s, before {old.p95:.2f} s "
            f"(soak/slower allows {limits.slower:g} times as much)"
        )
    return None
