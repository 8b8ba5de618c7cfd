"""JSON lines on stdout: time, level, service, event and fields. No secret belongs in a field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

Level = Literal["info", "warning", "error"]


def log(level: Level, service: str, event: str, **fields: Any) -> None:
    """Tell one event."""
    first = {
        "time": datetime.now(UTC).isoformat(),
        "level": level,
        "service": service,
        "event": event,
    }
    print(json.dumps(first | fields, default=str), flush=True)
