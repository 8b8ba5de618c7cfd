"""The history of an environment, each line bound to the one before it by its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from slipway_toolbox import lease
from slipway_toolbox.store import append_line, canonical, locked, read_lines

FIRST = "0" * 64


def append(state: Path, *, fence: int, entry: dict[str, Any], now: float) -> dict[str, Any]:
    """Append `entry` and close the journal. Raises Denied when the lease is not `fence`'s."""
    with locked(state):
        lease.check(state, fence=fence, now=now)
        path = state / "ledger.jsonl"
        _cut_torn_line(path)
        lines = read_lines(path)
        previous = lines[-1]["hash"] if lines else FIRST
        line = {**entry, "number": len(lines) + 1, "time": now, "previous": previous}
        line["hash"] = hash_of(line)
        append_line(path, line)
        (state / "journal.jsonl").unlink(missing_ok=True)
        return line


def journal(state: Path, *, fence: int, entry: dict[str, Any], now: float) -> dict[str, Any]:
    """Note one step of the release under way. Raises Denied when the lease is not `fence`'s."""
    with locked(state):
        lease.check(state, fence=fence, now=now)
        path = state / "journal.jsonl"
        _cut_torn_line(path)
        line = {**entry, "fence": fence, "time": now}
        append_line(path, line)
        return line


def altered(state: Path) -> int | None:
    """The number of the first line that is not as it was written, or None."""
    previous = FIRST
    for index, line in enumerate(read_lines(state / "ledger.jsonl"), start=1):
        content = {key: value for key, value in line.items() if key != "hash"}
        if line.get("previous") != previous or line.get("hash") != hash_of(content):
            return index
        previous = line["hash"]
    return None


def hash_of(line: dict[str, Any]) -> str:
    """The SHA-256 of a line without its own hash, in hexadecimal."""
    return hashlib.sha256(canonical(line)).hexdigest()


def _cut_torn_line(path: Path) -> None:
    if path.is_file():
        data = path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1]
        if complete != data:
            with path.open("r+b") as stream:
                stream.truncate(len(complete))
