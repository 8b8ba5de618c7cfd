"""A new generation is held to the old one's figures, and to nothing that a few requests show."""

from __future__ import annotations

import pytest

from slipway.config.environment import Soak
from slipway.plans import figures
from slipway.plans.figures import Figures

LIMITS = Soak(seconds=60, requests=200, failed_percent=1, slower=2, restarts=0)


def counted(requests: int, *, failed: int = 0, slow: int = 0) -> Figures:
    """Requests of which all but `slow` took up to 0.05 s, and those up to 1 s."""
    return Figures(requests, failed, {0.05: requests - slow, 1.0: requests, float("inf"): requests})


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        (counted(1000), counted(1000), None),
        (counted(1000, failed=9), counted(1000), None),
        (counted(1000, failed=11), counted(1000), "11 of 1000 requests failed: 1.1 %, before 0.0"),
        (counted(1000, failed=50), counted(1000, failed=45), None),
        (counted(199, failed=199), counted(1000), None),
        (counted(1000, slow=200), counted(1000), r"95 % of the answers took up to 0.76 s"),
        (counted(1000, slow=200), counted(1000, slow=200), None),
        (counted(1000, slow=200), counted(10), None),
        (counted(1000, failed=11), Figures(), "11 of 1000 requests failed"),
    ],
)
def test_it_is_told_when_the_new_one_is_worse(new: Figures, old: Figures, said: str | None) -> None:
    found = figures.complaint(LIMITS, new, old)
    assert (found is None) if said is None else (found is not None and said in found)


def test_what_is_never_noticed_is_never_too_slow() -> None:
    fast = Figures(1000, 0, {0.01: 1000, 0.1: 1000, float("inf"): 1000})
    slower = Figures(1000, 0, {0.01: 0, 0.1: 1000, float("inf"): 1000})
    assert slower.p95 > LIMITS.slower * fast.p95
    assert figures.complaint(LIMITS, slower, fast) is None


def test_the_edges_words_are_read_and_subtracted() -> None:
    one = {"figures": {"7": {"requests": 10, "failed": 1, "buckets": {"0.05": 9, "inf": 10}}}}
    two = {"figures": {"7": {"requests": 30, "failed": 3, "buckets": {"0.05": 25, "inf": 30}}}}
    before, after = figures.parse(one), figures.parse(two)
    assert after[7].since(before[7]) == Figures(20, 2, {0.05: 16, float("inf"): 20})
    total = figures.total({"edge": before}, {"edge": after})
    assert total == {"served": 18, "failed": 2}


def test_every_edge_counts_for_itself() -> None:
    """Another one that took over began at nothing, whatever the one before it had counted."""
    before = {"old": {1: counted(100, failed=5)}}
    after = {"old": {1: counted(110, failed=6)}, "new": {1: counted(150), 2: counted(20, failed=2)}}
    assert figures.total(before, after) == {"served": 177, "failed": 3}


def test_an_edge_that_began_anew_is_read_from_its_beginning() -> None:
    assert counted(5).since(counted(1000)) == counted(5)
    assert counted(1500, failed=1).since(counted(1000, failed=2)) == counted(1500, failed=1)


def test_an_edge_that_counts_nothing_tells_nothing() -> None:
    assert figures.parse({"generation": 1}) == {}
