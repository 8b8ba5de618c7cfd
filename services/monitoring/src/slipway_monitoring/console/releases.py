"""What was released, as the environment's record has it; told by each release when it has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slipway_monitoring.console import files
from slipway_monitoring.errors import MonitoringError

FILE = "releases.json"
LARGEST_BYTES = 8 << 20


def keep(folder: Path, told: str) -> None:
    """Keep the lines that were told in place of those before. Raises MonitoringError."""
    if len(told) > LARGEST_BYTES:
        raise MonitoringError(f"more than {LARGEST_BYTES} bytes of releases; tell fewer lines")
    try:
        lines = json.loads(told)
    except ValueError as error:
        raise MonitoringError(f"what was told of releases is no JSON: {error}") from error
    if not isinstance(lines, list) or not all(isinstance(each, dict) for each in lines):
        raise MonitoringError("what was told of releases is no list of lines")
    try:
        files.write(folder / FILE, json.dumps(lines))
    except OSError as error:
        raise MonitoringError(f"{folder / FILE} cannot be written: {error}") from error


def read(folder: Path) -> list[dict[str, Any]] | None:
    """The lines, the newest last; None where no release has told any yet.

    Raises MonitoringError when what is there cannot be read.
    """
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise MonitoringError(f"{folder / FILE} cannot be read: {error}") from error
    assert isinstance(found, list)
    return found
