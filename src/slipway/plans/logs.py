"""Which lines of the logs a person wants to see, and how they are shown."""

from __future__ import annotations

import json as formats
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from slipway.config import members
from slipway.errors import Refused
from slipway.facts.logs import Line
from slipway.plans import durations

TAIL = "200"
#: As many lines as the store is asked for where nobody says how many.
MOST = 10000
#: A person's search without a time: everything that the store may keep.
EVER_DAYS = 3650
LATER = timedelta(seconds=1)


@dataclass(frozen=True)
class Wanted:
    """Lines of the last `seconds`, or of any time, with `grep` in them; `tail` per container.

    `request` is the id of one, whose lines are wanted from edge to worker in the order in which
    things began. `user` is what a user is called in lines.
    """

    tail: str
    seconds: int | None
    grep: str
    json: bool
    request: str = ""
    user: str = ""

    @property
    def searches(self) -> bool:
        """Whether lines have to be looked at, instead of being passed on as they are."""
        return self.seconds is not None or self.json or any(self.texts)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is in each line that is wanted, as it is written there."""
        return (self.grep, self.request, self.user)

    def shown(self, line: Line) -> str:
        """A line as it is printed."""
        if not self.json:
            return f"{line.moment} {line.instance}  {line.text}"
        said = line.fields if line.fields is not None else {"text": line.text}
        return formats.dumps(
            {"received": line.moment, "instance": line.instance, "service": line.service} | said
        )


def wanted(
    tail: str,
    since: str,
    grep: str,
    *,
    json: bool,
    follow: bool,
    request: str = "",
    user: str = "",
) -> Wanted:
    """What was typed; `user` is what one is called in lines. Raises Refused with what is wrong."""
    if request and not re.fullmatch(r"[A-Za-z0-9._-]{8,128}", request):
        raise Refused(f"--request {request!r} is no request's id: 8 to 128 of A-Z a-z 0-9 . _ -")
    if request and follow:
        raise Refused("--request is one request's lines; --follow prints what comes")
    if tail and tail != "all" and not (tail.isascii() and tail.isdigit()):
        raise Refused(f"--tail {tail!r} is neither a number nor `all`")
    seconds = durations.seconds(since, "--since") if since else None
    whole = seconds is not None or grep or request or user
    return Wanted(tail or ("all" if whole else TAIL), seconds, grep, json, request, user)


def followed(wanted: Wanted) -> None:
    """Check that what comes can be followed without a store. Raises Refused when it cannot."""
    if wanted.searches:
        raise Refused("--follow prints what comes; --since, --grep and --json search what is there")


def question(wanted: Wanted, services: Sequence[str], since: str = "") -> dict[str, str]:
    """What the log store is asked, as its own words; `since` is a moment that goes before others.

    Whatever was typed is quoted: none of it is taken for the store's own language.
    """
    time = f"_time:>={since}" if since else f"_time:{wanted.seconds or EVER_DAYS * 86400}s"
    filters = [time]
    if services:
        filters.append(f"service:in({','.join(map(quoted, sorted(services)))})")
    if wanted.request:
        filters.append(f"request_id:={quoted(wanted.request)}")
    if wanted.user:
        filters.append(f"user_hash:={quoted(wanted.user)}")
    query = " ".join(filters)
    if wanted.grep:
        # As if the line were one text: what is looked for may be in any of its fields.
        pattern = quoted(re.escape(wanted.grep))
        query += f" | pack_json as whole | filter whole:~{pattern} | delete whole"
    return {"query": query, "limit": str(MOST) if wanted.tail == "all" else wanted.tail}


def of_database(lines: Sequence[Line]) -> dict[str, str] | None:
    """What the log store is asked for the database's own lines of a request; None without any.

    Backends and workers say which processes of the database they asked. Another request may have
    used the same one in the same moment, before or after.
    """
    filters = []
    for line in lines:
        for each in str((line.fields or {}).get("database", "")).split():
            member, _, process = each.partition("/")
            if member in members.MEMBERS and process.isdigit():
                span = f"_time:[{line.begun}Z, {_later(line)}Z]"
                filters.append(f"({span} service:={quoted(member)} process:={quoted(process)})")
    if not filters:
        return None
    return {"query": " or ".join(dict.fromkeys(filters)), "limit": str(MOST)}


def _later(line: Line) -> str:
    """A moment after a line: what another container said before may have come after it."""
    said = datetime.fromisoformat(line.moment[:26].rstrip("Z"))
    return (said + LATER).isoformat(timespec="microseconds")


def quoted(text: str) -> str:
    """A text as the store's language quotes it."""
    return formats.dumps(text, ensure_ascii=False)
