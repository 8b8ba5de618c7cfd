"""A length of time as a person types it."""

from __future__ import annotations

import re

from slipway.errors import Refused

_TYPED = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def seconds(typed: str, flag: str) -> int:
    """Seconds of `30m`, `2h` or `3d`. Raises Refused for anything else, naming the flag."""
    found = _TYPED.fullmatch(typed)
    if found is None:
        raise Refused(f"{flag} {typed!r} is no length of time: it should be like 30m, 2h or 3d")
    return int(found[1]) * _SECONDS[found[2]]
