"""When something runs again and again: the five fields of cron, checked at the door."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: What each field is called, its least and its greatest value, and the names of its values.
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")


def complaint(text: str) -> str:
    """What is wrong with a line of cron in one sentence; empty when nothing is."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        names = ", ".join(name for name, *_ in FIELDS)
        return f"cron has five fields ({names}), and this has {len(fields)}"
    for value, (name, least, greatest, words) in zip(fields, FIELDS, strict=True):
        for part in value.split(","):
            if not _fits(part, least, greatest, words):
                return f"{part!r} is no {name}: {least} to {greatest}, a-b, */n or *"
    if not fields[2].startswith("*") and not fields[4].startswith("*"):
        # Some read it as both, some as either: too few backups, or too many.
        return "this has both a day of the month and one of the week: one of the two is *"
    return ""


def _fits(part: str, least: int, greatest: int, words: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None or match["step"] == "0":
        return False
    if match["first"] == "*":
        return match["last"] is None
    first = _number(match["first"], least, words)
    last = first if match["last"] is None else _number(match["last"], least, words)
    if first is None or last is None:
        return False
    return least <= first <= last <= greatest


def _number(word: str, least: int, words: tuple[str, ...]) -> int | None:
    if word.isdecimal():
        return int(word)
    return words.index(word.lower()) + least if word.lower() in words else None
