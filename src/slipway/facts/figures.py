"""What the edge counted for one generation: requests, failures, and how long callers waited."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
    """Counters since the edge started, or the difference of two readings.

    `failed` were answered 5xx, broke off in the middle or were not answered; those of them that
    the backend turned away for its own limits (503 with Retry-After) are also in `busy`.
    `buckets` maps seconds to how many callers waited at most as long, for the whole answer or,
    when it was streamed, until it began.
    """

    requests: int = 0
    failed: int = 0
    busy: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)

    def since(self, earlier: Figures) -> Figures:
        """What was counted after `earlier`; all of it when the edge started anew in between."""
        if earlier.requests > self.requests:
            return self
        return Figures(
            self.requests - earlier.requests,
            self.failed - earlier.failed,
            self.busy - earlier.busy,
            {bound: count - earlier.buckets.get(bound, 0) for bound, count in self.buckets.items()},
        )

    def waited(self, part: float) -> float | None:
        """The bound in seconds within which `part` (0 to 1) of the callers waited; None for none.

        Infinite when they waited longer than the largest bound.
        """
        wanted = part * self.requests
        return (
            next(
                (bound for bound, count in sorted(self.buckets.items()) if count >= wanted),
                math.inf,
            )
            if self.requests
            else None
        )


def of(status: Mapping[str, Any], generation: int) -> Figures | None:
    """The figures of a generation in what the edge answered; None when it counted nothing."""
    found = status.get("figures", {}).get(str(generation))
    if found is None:
        return None
    buckets = {float(bound): count for bound, count in found["buckets"].items()}
    return Figures(found["requests"], found["failed"], found.get("busy", 0), buckets)
