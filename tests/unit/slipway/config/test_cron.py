"""A line of cron is what cron takes, or the complaint names the word that it does not."""

from __future__ import annotations

import pytest

from slipway.config import cron


@pytest.mark.parametrize(
    "line",
    [
        "0 2 * * 0",
        "15 */6 * * *",
        "0,30 8-18/2 1-15 jan-jun *",
        "59 23 */2 12 mon-fri",
        "0 2 * * SUN",
        "5/15 * * * *",
    ],
)
def test_what_cron_takes_is_taken(line: str) -> None:
    assert cron.complaint(line) == ""


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", "this has 0"),
        ("0 2 * *", "this has 4"),
        ("@daily", "this has 1"),
        ("60 * * * *", "'60' is no minute: 0 to 59"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day of the month: 1 to 31"),
        ("0 0 * 13 *", "'13' is no month"),
        ("0 0 * * 8", "'8' is no day of the week"),
        ("0 0 * * mo", "'mo' is no day of the week"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("30-10 * * * *", "'30-10' is no minute"),
        ("*-5 * * * *", "'*-5' is no minute"),
        ("1,,2 * * * *", "'' is no minute"),
        ("0 0 L * *", "'L' is no day of the month"),
        ("0 2 1 * 0", "this has both"),
    ],
)
def test_anything_else_is_named(line: str, named: str) -> None:
    assert named in cron.complaint(line)
