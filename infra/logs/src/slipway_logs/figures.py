"""Figures of a collector, as Prometheus reads them: what it brought, and what waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway_logs import spool
from slipway_logs.settings import Settings

#: Name, kind and meaning of each figure.
FIGURES = {
    "slipway_collector_lines_total": ("counter", "Lines read of the engine's files, whoever's"),
    "slipway_collector_discarded_total": ("counter", "Lines that were let go"),
    "slipway_collector_waiting_bytes": ("gauge", "Bytes of lines that wait for the store"),
    "slipway_collector_waiting_limit_bytes": (
        "gauge",
        "Bytes of lines that may wait for the store",
    ),
}


class Figures:
    """What rsyslog counted last, which it writes into a file every ten seconds; and the spool."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.work / "counted"
        self._spool = settings.data / "spool"
        self._limit = settings.queue_bytes
        self._counted: dict[str, Mapping[str, Any]] = {}
        self._turn = threading.Lock()

    def text(self) -> str:
        """All of them; what rsyslog has not counted yet is left out."""
        with self._turn:
            self._counted |= _read(self._file)
            queue = self._counted.get("main Q")
        values = {
            "slipway_collector_waiting_bytes": spool.waiting(self._spool),
            "slipway_collector_waiting_limit_bytes": self._limit,
        }
        if queue is not None:
            values["slipway_collector_lines_total"] = queue["enqueued"]
            let_go = queue["discarded.full"] + queue["discarded.nf"]
            values["slipway_collector_discarded_total"] = let_go
        return "".join(
            f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {values[name]}\n"
            for name, (kind, meaning) in FIGURES.items()
            if name in values
        )


def _read(file: Path) -> dict[str, Mapping[str, Any]]:
    """What was counted last, by name; the file is emptied, or it would grow for ever."""
    try:
        with file.open("r+", encoding="utf-8") as counted:
            lines = counted.read().splitlines()
            counted.truncate(0)
    except FileNotFoundError:
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        start = line.find("{")
        try:
            told = json.loads(line[start:]) if start >= 0 else {}
        except ValueError:
            # Written while it was read.
            continue
        if "name" in told:
            found[told["name"]] = told
    return found
