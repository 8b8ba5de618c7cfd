"""JSON lines on stdout: time, level, service, event and fields. No secret belongs in a field."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_state = {"least": 100}


def configure(level: str) -> None:
    """Begin to tell; before this, as in a verb typed by a person, nothing is told."""
    _state["least"] = _LEVELS.get(level.lower(), 20)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def log(level: str, event: str, **fields: Any) -> None:
    """Tell one event."""
    if _LEVELS[level] >= _state["least"]:
        print(_line(level, event, fields), flush=True)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return _line(record.levelname.lower(), record.getMessage(), fields)


def _line(level: str, event: str, fields: dict[str, Any]) -> str:
    first = {
        "time": datetime.now(UTC).isoformat(),
        "level": level,
        "service": "backup",
        "event": event,
    }
    return json.dumps(first | fields, default=str)
