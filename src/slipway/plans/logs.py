"""Which lines of the logs a person wants to see, and how they are shown."""

from __future__ import annotations

import json as formats
from dataclasses import dataclass

from slipway.errors import Refused
from slipway.facts.logs import Line
from slipway.plans import durations

TAIL = "200"


@dataclass(frozen=True)
class Wanted:
    """Lines of the last `seconds`, or of any time, with `grep` in them; `tail` per container."""

    tail: str
    seconds: int | None
    grep: str
    json: bool

    @property
    def searches(self) -> bool:
        """Whether lines have to be looked at, instead of being passed on as they are."""
        return self.seconds is not None or bool(self.grep) or self.json

    def shown(self, line: Line) -> str:
        """A line as it is printed."""
        if not self.json:
            return f"{line.moment} {line.instance}  {line.text}"
        said = line.fields if line.fields is not None else {"text": line.text}
        return formats.dumps(
            {"received": line.moment, "instance": line.instance, "service": line.service} | said
        )


def wanted(tail: str, since: str, grep: str, *, json: bool, follow: bool) -> Wanted:
    """What was typed. Raises Refused with what is wrong with it."""
    if tail and tail != "all" and not (tail.isascii() and tail.isdigit()):
        raise Refused(f"--tail {tail!r} is neither a number nor `all`")
    seconds = durations.seconds(since, "--since") if since else None
    found = Wanted(tail or (TAIL if seconds is None and not grep else "all"), seconds, grep, json)
    if follow and found.searches:
        raise Refused("--follow prints what comes; --since, --grep and --json search what is there")
    return found
