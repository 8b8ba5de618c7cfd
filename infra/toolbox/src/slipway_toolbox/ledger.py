"""The history of an environment, each line bound to the one before it by its hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from slipway_toolbox import lease
from slipway_toolbox.store import append_line, canonical, locked, read_json, write

FIRST = "0" * 64
#: The head before there is a line.
NONE = {"number": 0, "hash": FIRST}


def read(state: Path) -> list[dict[str, Any]]:
    """The lines of the ledger; what somebody made unreadable is left out, and told by `altered`."""
    return [line for line in _lines(state / "ledger.jsonl") if line is not None]


def append(state: Path, *, fence: int, entry: dict[str, Any], now: float) -> dict[str, Any]:
    """Append `entry` and close the journal. Raises Denied when the lease is not `fence`'s."""
    with locked(state):
        lease.check(state, fence=fence, now=now)
        line = _append(state, entry, now)
        (state / "journal.jsonl").unlink(missing_ok=True)
        return line


def note(state: Path, *, entry: dict[str, Any], now: float) -> dict[str, Any]:
    """Append what was done beside any release, which needs no lease: no plan depends on it."""
    with locked(state):
        return _append(state, entry, now)


def _append(state: Path, entry: dict[str, Any], now: float) -> dict[str, Any]:
    path = state / "ledger.jsonl"
    _cut_torn_line(path)
    lines = _lines(path)
    last = next((line for line in reversed(lines) if line is not None), None)
    previous = last["hash"] if last else FIRST
    line = {**entry, "number": len(lines) + 1, "time": now, "previous": previous}
    found = altered(state)
    if found is not None:
        # A line more would hide that one is missing at the end.
        line["altered"] = found
    line["hash"] = hash_of(line)
    head = state / "head.json"
    known = {"number": len(lines), "hash": previous} if found is None else read_json(head) or NONE
    # Before the line: a crash between the two leaves no other line than the one that was to come.
    write(head, canonical({**known, "next": line["hash"]}))
    append_line(path, line)
    write(head, canonical({"number": line["number"], "hash": line["hash"]}))
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
    """The number of the first line that is not as it was written, or None.

    The head, kept beside the ledger, tells of lines that were deleted at its end or added there:
    the number is then that of the first one missing, or added. A line that was written after an
    alteration remembers it.
    """
    lines = _lines(state / "ledger.jsonl")
    previous = FIRST
    for index, line in enumerate(lines, start=1):
        if line is None:
            return index
        content = {key: value for key, value in line.items() if key != "hash"}
        if line.get("previous") != previous or line.get("hash") != hash_of(content):
            return index
        if "altered" in line:
            return int(line["altered"])
        previous = line["hash"]
    return _altered_end([FIRST, *(line["hash"] for line in lines if line)], state)


def hash_of(line: dict[str, Any]) -> str:
    """The SHA-256 of a line without its own hash, in hexadecimal."""
    return hashlib.sha256(canonical(line)).hexdigest()


def _altered_end(hashes: list[str], state: Path) -> int | None:
    """The number of the first line that is missing at the end, or was added there, or None."""
    head = read_json(state / "head.json")
    if head is None:
        return len(hashes) if len(hashes) > 1 else None
    number = int(head["number"])
    if len(hashes) <= number:
        return len(hashes)
    if hashes[number] != head["hash"]:
        return number
    return None if hashes[number + 1 :] in ([], [head.get("next")]) else number + 1


def _lines(path: Path) -> list[dict[str, Any] | None]:
    """Every complete line, None for one that is no JSON object."""
    if not path.is_file():
        return []
    return [_object(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("hash"), str) else None


def _cut_torn_line(path: Path) -> None:
    if path.is_file():
        data = path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1]
        if complete != data:
            with path.open("r+b") as stream:
                stream.truncate(len(complete))
