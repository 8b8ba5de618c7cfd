"""Two readings of the edge's counters give what happened in between."""

from __future__ import annotations

import math

from slipway.facts import figures
from slipway.facts.figures import Figures


def read(requests: int, failed: int, **buckets: int) -> Figures:
    counted = {bound.replace("_", "."): count for bound, count in buckets.items()}
    counters = {"requests": requests, "failed": failed, "buckets": counted}
    found = figures.of({"figures": {"7": counters}}, 7)
    assert found is not None
    return found


def test_the_difference_of_two_readings_is_what_happened_in_between() -> None:
    earlier = read(100, 3, **{"0_05": 90, "1": 100, "inf": 100})
    later = read(200, 4, **{"0_05": 91, "1": 195, "inf": 200})
    gained = later.since(earlier)
    assert (gained.requests, gained.failed) == (100, 1)
    assert gained.waited(0.5) == 1.0
    assert gained.waited(0.95) == 1.0
    assert gained.waited(0.96) == math.inf


def test_an_edge_that_started_anew_counts_from_nothing() -> None:
    before = read(100, 3, inf=100)
    assert read(5, 1, inf=5).since(before) == read(5, 1, inf=5)


def test_a_generation_that_was_asked_nothing_has_no_figures() -> None:
    assert figures.of({}, 7) is None
    assert figures.of({"figures": {"6": {}}}, 7) is None
    assert Figures().waited(0.95) is None
