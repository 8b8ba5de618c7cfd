"""`slipway-toolbox VERB`: one JSON object on standard input, one on standard output.

Exit codes: 0 done, 1 failed, 3 denied (the object then says why).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway_toolbox import host, lease, ledger, vault
from slipway_toolbox.store import Denied, locked, read_json, read_lines, write

HISTORY = 50
# More than ever run beside each other: one serves, one is warm, some may be left by failures.
GENERATIONS = 8


def read(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Everything a plan needs to know of the state."""
    lines = ledger.read(state)
    history = int(request.get("history", HISTORY))
    return {
        "ledger": lines[-history:] if history else lines,
        "lease": read_json(state / "lease.json"),
        "now": time.time(),
        "journal": read_lines(state / "journal.jsonl"),
        "secrets": vault.fingerprints(state),
        "handed": read_json(state / "handed.json") or {},
        "certificate": vault.get(state, ["tls.crt"]).get("tls.crt"),
        "altered": ledger.altered(state),
        "head": read_json(state / "head.json"),
        "rendered": _rendered(state / "rendered"),
    }


def _rendered(folder: Path) -> dict[str, Any]:
    """The rendered configurations of the platform and of the newest generations, by path."""

    def number(path: Path) -> int:
        return int(path.parent.name[1:]) if path.parent.name[1:].isdigit() else 0

    generations = sorted(folder.glob("g*/app.json"), key=number)[-GENERATIONS:]
    files = (folder / "platform.json", *generations)
    return {str(path.relative_to(folder)): read_json(path) for path in files if path.is_file()}


def put_file(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Keep a rendered configuration: {"fence", "path", "content"}."""
    path = (state / "rendered" / request["path"]).resolve()
    if not path.is_relative_to((state / "rendered").resolve()):
        raise Denied(f"{request['path']} is outside the folder of rendered configurations")
    with locked(state):
        lease.check(state, fence=request["fence"], now=time.time())
        return {"changed": write(path, request["content"].encode())}


def get_files(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Those of the rendered configurations `paths` that there are, by path."""
    folder = (state / "rendered").resolve()
    found = {path: (folder / path).resolve() for path in request["paths"]}
    return {
        path: read_json(file)
        for path, file in found.items()
        if file.is_relative_to(folder) and file.is_file()
    }


def forget(state: Path, request: dict[str, Any]) -> list[str]:
    """Remove the rendered configurations but `keep`: {"fence", "keep"}. Returns what went."""
    folder = state / "rendered"
    with locked(state):
        lease.check(state, fence=request["fence"], now=time.time())
        gone = [
            path
            for path in sorted(folder.rglob("*.json"))
            if str(path.relative_to(folder)) not in request["keep"]
        ]
        for path in gone:
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
    return [str(path.relative_to(folder)) for path in gone]


def commit(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Append the outcome of a release, and hold what it handed out for settled."""
    lease.check(state, fence=request["fence"], now=time.time())
    # Before the line: older secrets that are left over would be taken back by a later release.
    vault.settle(state)
    return ledger.append(state, now=time.time(), **request)


def _fenced(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The request without its fencing number, which must be that of the lease."""
    lease.check(state, fence=request["fence"], now=time.time())
    return {key: value for key, value in request.items() if key != "fence"}


def hold(seconds: float) -> None:
    """Keep the container of a release alive for as long as its lease is, and end it after."""
    state = _folder()
    deadline = time.time() + seconds
    while time.time() < deadline:
        time.sleep(1)
        current = read_json(state / "lease.json")
        if current is not None:
            deadline = max(deadline, current["expires"])


VERBS: dict[str, Callable[[Path, dict[str, Any]], Any]] = {
    "read": read,
    "host": lambda _state, _request: host.describe(),
    "acquire": lambda state, request: lease.acquire(state, now=time.time(), **request),
    "renew": lambda state, request: lease.renew(state, now=time.time(), **request),
    "release": lambda state, request: lease.release(state, now=time.time(), **request),
    "journal": lambda state, request: ledger.journal(state, now=time.time(), **request),
    "commit": commit,
    "note": lambda state, request: ledger.note(state, now=time.time(), **request),
    "put-file": put_file,
    "get-files": get_files,
    "forget": forget,
    "put-secrets": lambda state, request: vault.put(state, **_fenced(state, request)),
    "get-secrets": lambda state, request: vault.get(state, **request),
    "hand-out": lambda state, request: vault.hand_out(state, _volumes(), **_fenced(state, request)),
    "take-back": lambda state, request: vault.take_back(
        state, _volumes(), **_fenced(state, request)
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb."""
    verb, *rest = sys.argv[1:] if arguments is None else arguments
    if verb == "hold":
        hold(float(rest[0]))
        return 0
    if verb not in VERBS:
        print(f"no verb {verb!r} (there are: hold, {', '.join(VERBS)})", file=sys.stderr)
        return 1
    try:
        answer = VERBS[verb](_folder(), json.loads(sys.stdin.read() or "{}"))
    except Denied as denied:
        print(json.dumps({"denied": str(denied), **denied.details}))
        return 3
    print(json.dumps(answer))
    return 0


def _folder() -> Path:
    return Path(os.environ.get("SLIPWAY_STATE", "/state"))


def _volumes() -> Path:
    return Path(os.environ.get("SLIPWAY_VOLUMES", "/secrets"))


if __name__ == "__main__":
    sys.exit(main())
