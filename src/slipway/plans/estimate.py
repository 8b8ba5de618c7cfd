"""How long a release will take, from how long its like took before."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Older releases ran on other machines and other code.
RELEASES = 10


@dataclass(frozen=True)
class Estimate:
    """Seconds for all phases that were seen before, from `releases` past ones.

    `unknown` are the phases that no release of the ledger had.
    """

    seconds: float
    releases: int
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        if not self.releases:
            return "no estimate: the ledger has no release to learn from"
        times = "release" if self.releases == 1 else "releases"
        without = f", without {', '.join(self.unknown)}" if self.unknown else ""
        return f"about {self.seconds:.0f} s, from {self.releases} past {times}{without}"


def estimate(phases: Sequence[str], ledger: Sequence[Mapping[str, Any]]) -> Estimate:
    """Add up the median of each phase over the last releases that were done."""
    past = [line["phases"] for line in ledger if line.get("phases")][-RELEASES:]
    seen: dict[str, list[float]] = {}
    for line in past:
        for name, seconds in line.items():
            seen.setdefault(_kind(name), []).append(seconds)
    known = [statistics.median(seen[_kind(name)]) for name in phases if _kind(name) in seen]
    unknown = tuple(name for name in phases if _kind(name) not in seen)
    return Estimate(round(sum(known), 1), len(past), unknown)


def last(phase: str, ledger: Sequence[Mapping[str, Any]]) -> tuple[float, int] | None:
    """The seconds that a phase took last time, and the number of that line of the ledger."""
    for line in reversed(ledger):
        for name, seconds in (line.get("phases") or {}).items():
            if _kind(name) == _kind(phase):
                return float(seconds), int(line.get("number", 0))
    return None


def _kind(phase: str) -> str:
    """A phase's name without the numbers of generations and images in it."""
    return re.sub(r"\d+", "N", phase)
