"""How long a release takes is learnt from the ledger, and what is not known is said."""

from __future__ import annotations

from slipway.plans import estimate

LEDGER = (
    {"number": 1, "phases": {"build 4 images": 100.0, "start generation 1, until healthy": 20.0}},
    {"number": 2, "phases": {"start generation 2, until healthy": 10.0, "platform: edge": 3.0}},
    {"number": 3, "result": "failed"},
    {"number": 4, "phases": {"start generation 4, until healthy": 12.0}},
)


def test_each_phase_takes_its_median_whatever_its_generation() -> None:
    found = estimate.estimate(["start generation 5, until healthy", "platform: edge"], LEDGER)
    assert (found.seconds, found.releases, found.unknown) == (15.0, 3, ())
    assert str(found) == "about 15 s, from 3 past releases"


def test_a_phase_that_was_never_seen_is_named() -> None:
    found = estimate.estimate(["platform: edge", "soak 60 s"], LEDGER)
    assert str(found) == "about 3 s, from 3 past releases, without soak 60 s"


def test_the_first_release_has_no_estimate() -> None:
    assert str(estimate.estimate(["platform: edge"], ())).startswith("no estimate")


def test_the_last_time_is_told_with_its_line() -> None:
    assert estimate.last("platform: edge", LEDGER) == (3.0, 2)
    assert estimate.last("platform: postgres", LEDGER) is None
