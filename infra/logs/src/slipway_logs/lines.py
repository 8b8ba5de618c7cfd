"""A line of a container, as the engine keeps it, made a document of the store's.

Every document has the fields of one schema (docs/reference/logs.md), whoever wrote the line:
`_time`, `level`, `service`, `instance` and `_msg`, the event; `generation`, `request_id` and what
else the line said where it said so.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: Whose levels are called otherwise.
LEVELS = {
    "warn": "warning",
    "err": "error",
    "crit": "error",
    "critical": "error",
    "fatal": "error",
    "panic": "error",
    "dpanic": "error",
    "emerg": "error",
    "alert": "error",
    "notice": "info",
    "log": "info",
    "trace": "debug",
}
KNOWN = ("debug", "info", "warning", "error")
#: What makes a stream of the store's: lines of one stream are kept together.
STREAM = ("service", "generation", "instance")
#: What a service calls the moment; the engine's is taken, which is of every line.
_MOMENTS = ("time", "ts", "timestamp")
_EVENTS = ("event", "msg", "message")
# Of an environment, a stack and a service; the last part counts containers.
_NAME = re.compile(r"slipway-[a-z0-9]+-(?:platform|g(\d+))-(.+?)-(?:run-[0-9a-f]+|\d+)")
# Moment, [process], who@where, the application's name, and the severity.
_POSTGRES = re.compile(
    r"\S+ \S+ \S+ \[(\d+)\] .*?"
    r"(DEBUG\d|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT):  (.*)",
    re.DOTALL,
)
# Python's logging as Patroni has it, and NGINX's before it is told to speak JSON.
_SPOKEN = re.compile(
    r"^\S+ \S+ (?:\[(\w+)\] )?(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL): )?(.*)", re.DOTALL
)


def document(line: str) -> dict[str, Any] | None:
    """The document of one line of the engine's file; None for what is no line of a container's."""
    try:
        kept = json.loads(line)
        text, moment, name = kept["log"], kept["time"], kept["attrs"]["tag"]
    except (ValueError, KeyError, TypeError):
        return None
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    generation, service = found.groups()
    said = _said(text.rstrip("\r\n"))
    made = {
        "_time": moment,
        "level": said.pop("level"),
        "service": service,
        "instance": re.sub(r"^slipway-[a-z0-9]+-(platform-)?", "", name),
        "_msg": said.pop("_msg"),
    }
    if generation:
        made["generation"] = generation
    # Who said it is the engine's to say, and not the line's.
    return {name: value for name, value in said.items() if value not in (None, "")} | made


def _said(text: str) -> dict[str, Any]:
    fields = _fields(text)
    event = next((fields.pop(name) for name in _EVENTS if fields.get(name)), None)
    for name in (*_MOMENTS, "_time", "_msg", "_stream"):
        fields.pop(name, None)
    level = str(fields.pop("level", "") or "info").lower()
    level = LEVELS.get(level, level)
    return fields | {
        "level": level if level in KNOWN else "info",
        # The store wants a text; what has none is shown as it was written.
        "_msg": str(text if event is None else event).strip() or "(an empty line)",
    }


def _fields(text: str) -> dict[str, Any]:
    """What a line says: its own JSON, or what is known of how such programs write."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            return {"event": text}
        return found if isinstance(found, dict) else {"event": text}
    if (told := _POSTGRES.fullmatch(text)) is not None:
        process, severity, event = told.groups()
        return {
            "event": event,
            "kind": severity,
            "process": process,
            "level": severity if severity.lower() in {*LEVELS, *KNOWN} else "info",
        }
    spoken = _SPOKEN.match(text)
    if spoken is not None and (level := spoken[1] or spoken[2]):
        return {"event": text, "level": level}
    return {"event": text}
