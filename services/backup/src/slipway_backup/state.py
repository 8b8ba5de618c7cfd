"""What the release's own ledger says of the moment of a point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TOLD = ("version", "generation", "manifest", "source", "configuration")


def release(state: Path) -> dict[str, Any]:
    """The release that was done last: version, generation, manifest; empty where there is none."""
    try:
        lines = (state / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("result") == "done":
            return {name: entry[name] for name in TOLD if name in entry}
    return {}
