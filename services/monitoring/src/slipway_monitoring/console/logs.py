"""The log page's questions to the log store: of typed words, within a time and a limit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from slipway_monitoring.errors import MonitoringError

SECONDS = 20.0
#: Lines that a page shows, and bars that it draws.
MOST = 500
BARS = 80
#: The longest time that is asked about at once.
LONGEST = 31 * 86400
LEVELS = {"": (), "warning": ("warning", "error"), "error": ("error",)}
_SERVICE = re.compile(r"[a-z0-9-]{0,40}")
_REQUEST = re.compile(r"[A-Za-z0-9._-]{0,128}")
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Question:
    """What lines somebody wants to see, from one moment to another in seconds."""

    start: float
    end: float
    text: str = ""
    service: str = ""
    level: str = ""
    request: str = ""

    @property
    def query(self) -> str:
        """It in the store's language, in which nothing that was typed means anything."""
        filters = [f'service:="{self.service}"'] if self.service else []
        if self.level:
            filters.append(f"level:in({','.join(map(json.dumps, LEVELS[self.level]))})")
        if self.request:
            filters.append(f'request_id:="{self.request}"')
        query = " ".join(filters) or "*"
        if self.text:
            # As if a line were one text: what is looked for may be in any of its fields.
            pattern = json.dumps(re.escape(self.text), ensure_ascii=False)
            query += f" | pack_logfmt as whole | filter whole:~{pattern} | delete whole"
        return query

    @property
    def step(self) -> int:
        """Seconds of a bar."""
        return max(1, round((self.end - self.start) / BARS))


def read(told: Mapping[str, str], now: float) -> Question:
    """What was typed. Raises ValueError with what is wrong with it."""
    try:
        end = float(told.get("to") or now)
        start = float(told.get("from") or end - float(told.get("seconds") or 3600))
    except ValueError:
        raise ValueError("from, to and seconds are numbers of seconds") from None
    if not 0 < end - start <= LONGEST:
        raise ValueError("the time is no more than 31 days, and does not end before it begins")
    text, level = told.get("text", ""), told.get("level", "")
    service, request = told.get("service", ""), told.get("request", "")
    if level not in LEVELS:
        raise ValueError(f"level is one of {', '.join(filter(None, LEVELS))}, or nothing")
    if not (_SERVICE.fullmatch(service) and _REQUEST.fullmatch(request)):
        raise ValueError("a service is small letters, digits and -; a request's id has . and _ too")
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"a text to look for has {_LONGEST_TEXT} characters at most")
    return Question(start, end, text, service, level, request)


class Logs:
    """The log store of one environment."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def lines(self, question: Question) -> list[dict[str, Any]]:
        """The last lines of that time, the newest first. Raises MonitoringError."""
        answer = await self._asked("query", question, limit=str(MOST))
        found = [_line(json.loads(each)) for each in answer.text.splitlines()]
        return sorted(found, key=lambda line: str(line["time"]), reverse=True)

    async def counts(self, question: Question) -> dict[str, Any]:
        """How many lines of each level there are over that time. Raises MonitoringError."""
        step = question.step
        # Not the store's own endpoint for this, which lets go of what looks for a text.
        counted = f" | stats by (_time:{step}s, level) count() as lines"
        answer = await self._asked("query", question, counted)
        first = int(question.start // step * step)
        times = list(range(first, int(question.end) + 1, step))
        levels: dict[str, list[int]] = {}
        for told in map(json.loads, answer.text.splitlines()):
            place = (_moment(told["_time"]) - first) // step
            if 0 <= place < len(times):
                bars = levels.setdefault(told.get("level", ""), [0] * len(times))
                bars[place] += int(told["lines"])
        return {"times": times, "step": step, "levels": levels}

    async def services(self, question: Question) -> list[str]:
        """Who wrote anything in that time. Raises MonitoringError."""
        whole = Question(question.start, question.end)
        answer = await self._asked("field_values", whole, field="service")
        return sorted(each["value"] for each in answer.json()["values"] if each["value"])

    async def _asked(
        self, what: str, question: Question, pipe: str = "", **more: str
    ) -> httpx.Response:
        asked = {
            "query": question.query + pipe,
            "start": str(question.start),
            "end": str(question.end),
        }
        try:
            answer = await self._http.post(
                f"{self._url}/select/logsql/{what}", data=asked | more, timeout=SECONDS
            )
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise MonitoringError(f"the log store does not answer: {why}") from error
        if not answer.is_success:
            raise MonitoringError(f"the log store refused: {answer.status_code}")
        return answer


def _line(told: Mapping[str, Any]) -> dict[str, Any]:
    first = ("_time", "level", "service", "instance", "_msg")
    moment, level, service, instance, event = (told.get(name, "") for name in first)
    fields = {name: each for name, each in told.items() if name not in first and name[:1] != "_"}
    return {
        "time": moment,
        "level": level,
        "service": service,
        "instance": instance,
        "event": event,
        "fields": fields,
    }


def _moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
