"""What a container of the log store is told, by variables of its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """A setting is missing or makes no sense; the text says which, and what is accepted."""


@dataclass(frozen=True)
class Settings:
    """Where things are, and how much is kept; `days` and bytes are those of the store."""

    environment: str
    days: int
    store_bytes: int
    queue_bytes: int
    store_url: str
    data: Path
    engine: Path


def read(variables: Mapping[str, str] = os.environ) -> Settings:
    """Read and check them. Raises SettingsError."""
    return Settings(
        environment=_word(variables, "ENVIRONMENT"),
        days=_number(variables, "LOGS_DAYS", 7),
        store_bytes=_number(variables, "LOGS_BYTES", 1 << 30),
        queue_bytes=_number(variables, "QUEUE_BYTES", 1 << 30),
        store_url=variables.get("STORE_URL", "http://logs:9428"),
        data=Path(variables.get("DATA_DIRECTORY", "/var/lib/slipway-logs")),
        engine=Path(variables.get("ENGINE_DIRECTORY", "/engine")),
    )


def _word(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name, "")
    if not (value.isascii() and value.isalnum()):
        raise SettingsError(f"{name}: {value!r} is no environment's name: letters and digits")
    return value


def _number(variables: Mapping[str, str], name: str, default: int) -> int:
    value = variables.get(name, str(default))
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise SettingsError(f"{name}: {value!r} is no number above 0")
    return int(value)
