"""The secrets of an environment: kept in the state volume, handed to their consumers' volumes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any

from slipway_toolbox.store import canonical, locked, read_json, write

# What the consumers had before the release under way handed out anything else.
BEFORE = "handed-before.json"


def put(state: Path, values: dict[str, str], *, replace: bool) -> list[str]:
    """Keep `values` by name; without `replace` an existing one stays. Returns the names written."""
    folder = state / "secrets"
    with locked(state):
        folder.mkdir(mode=0o700, exist_ok=True)
        return [
            name
            for name, value in sorted(values.items())
            if (replace or not (folder / name).exists()) and write(folder / name, value.encode())
        ]


def get(state: Path, names: list[str]) -> dict[str, str]:
    """The values of those `names` that there are."""
    folder = state / "secrets"
    return {name: (folder / name).read_text() for name in names if (folder / name).is_file()}


def fingerprints(state: Path) -> dict[str, str]:
    """For each secret 16 hexadecimal digits that change when it does and do not reveal it."""
    folder = state / "secrets"
    if not folder.is_dir():
        return {}
    salt = _salt(state)
    return {
        path.name: hmac.new(salt, path.read_bytes(), hashlib.sha256).hexdigest()[:16]
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


def hand_out(state: Path, volumes: Path, consumers: dict[str, dict[str, Any]]) -> list[str]:
    """Write each consumer's files into its volume, readable by its user alone.

    `consumers` maps a name to {"user": numeric id, "files": {name: content}}. Files that are no
    longer listed go. What was handed out is noted by its fingerprints, so that a later change
    shows, and what was there before is kept until `settle`. Returns `consumer/file` for everything
    that changed.
    """
    _keep(state, volumes, consumers)
    changed = _give(volumes, consumers)
    write(state / "handed.json", canonical(fingerprints(state)))
    return changed


def take_back(state: Path, volumes: Path) -> list[str]:
    """Give every consumer what it had before; returns `consumer/file` for all that changed."""
    before = read_json(state / BEFORE)
    if before is None:
        return []
    changed = _give(volumes, before["consumers"])
    write(state / "handed.json", canonical(before["handed"]))
    return changed


def settle(state: Path) -> None:
    """Forget what the consumers had before: nothing is taken back any more."""
    (state / BEFORE).unlink(missing_ok=True)


def _keep(state: Path, volumes: Path, consumers: dict[str, dict[str, Any]]) -> None:
    """Keep what the consumers have; a run that was killed has kept what is older, which stays."""
    handed = read_json(state / "handed.json")
    if handed is None or (state / BEFORE).is_file():
        return
    had = {
        name: {"user": content["user"], "files": _files(volumes / name)}
        for name, content in consumers.items()
    }
    write(state / BEFORE, canonical({"handed": handed, "consumers": had}))


def _files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name[0] != "."}


def _give(volumes: Path, consumers: dict[str, dict[str, Any]]) -> list[str]:
    changed = []
    for consumer, content in sorted(consumers.items()):
        folder = volumes / consumer
        for name, value in sorted(content["files"].items()):
            if write(folder / name, value.encode(), mode=0o400, owner=content["user"]):
                changed.append(f"{consumer}/{name}")
        for path in sorted(folder.iterdir()):
            if path.name not in content["files"]:
                path.unlink()
                changed.append(f"{consumer}/{path.name}")
    return changed


def _salt(state: Path) -> bytes:
    path = state / "salt"
    if not path.is_file():
        with locked(state):
            if not path.is_file():
                write(path, secrets.token_bytes(32))
    return path.read_bytes()
