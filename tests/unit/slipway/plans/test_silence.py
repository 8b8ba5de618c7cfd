"""What may be silenced, for how long, and what is refused before anybody is asked."""

from __future__ import annotations

import pytest

from slipway.errors import Refused
from slipway.plans import silence

KNOWN = ("DatabaseDown", "EdgeDown", "Watchdog")


def test_a_silence_is_of_one_alert_and_of_one_service_where_that_is_given() -> None:
    found = silence.wanted("DatabaseDown", "postgres-2", "2h", "a disk\n is  changed", KNOWN)
    assert found.matchers == ("alertname=DatabaseDown", "service=postgres-2")
    assert str(found) == "DatabaseDown of postgres-2 for 2h: a disk is changed"
    assert silence.wanted("EdgeDown", "", "31d", "why", KNOWN).matchers == ("alertname=EdgeDown",)


@pytest.mark.parametrize(
    ("alert", "service", "duration", "reason", "said"),
    [
        ("", "", "2h", "why", "Which alert?"),
        ("DatabaseDwn", "", "2h", "why", "(perhaps DatabaseDown)"),
        ("Watchdog", "", "2h", "why", "its silence is the alarm"),
        ("EdgeDown", "", "2 h", "why", "is no length of time: it should be like 30m"),
        ("EdgeDown", "", "0h", "why", "is no length of time: it should be like 30m"),
        ("EdgeDown", "", "32d", "why", "at most 31d"),
        ("EdgeDown", "a=b", "2h", "why", "cannot be a service's name"),
        ("EdgeDown", "", "2h", " ", "Give --reason"),
    ],
)
def test_what_would_silence_nothing_or_too_much_is_refused(
    alert: str, service: str, duration: str, reason: str, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        silence.wanted(alert, service, duration, reason, KNOWN)
    assert said in str(refused.value)
