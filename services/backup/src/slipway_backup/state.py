"""What the release's own ledger says of the moment of a point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEDGER = "ledger.jsonl"
#: The platform as it was released last; its name is that of the environment's project.
PLATFORM = "rendered/platform.json"
TOLD = ("version", "generation", "manifest", "source", "configuration")


def release(state: Path) -> dict[str, Any]:
    """The release that was done last: version, generation, manifest; empty where there is none."""
    try:
        entry = last((state / LEDGER).read_text(encoding="utf-8"))
    except OSError:
        return {}
    return {name: entry[name] for name in TOLD if name in entry}


def last(ledger: str) -> dict[str, Any]:
    """The line of the release that was done last; empty where there is none."""
    for line in reversed(ledger.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("result") == "done":
            return entry
    return {}
