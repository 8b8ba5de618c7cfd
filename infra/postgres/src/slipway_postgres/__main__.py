"""`slipway-member`: start Patroni, or ask the one that runs; answers are one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway_postgres import limits, settings, verbs
from slipway_postgres.errors import MemberError
from slipway_postgres.patroni import DATA, SHARED_FILE, SOCKETS, configuration, shared
from slipway_postgres.roles import of_backups, of_monitoring
from slipway_postgres.tuning import CONNECTIONS, tune

VERBS = "run, tune, backup-role, monitor-role, status, settle, grant or switchover"


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the exit code is 1 with the reason on the last line."""
    verb, *rest = [*(sys.argv[1:] if words is None else words), ""]
    try:
        match verb:
            case "run":
                run(rest[:-1])
            case "tune":
                print("\n".join(arguments(rest[:-1])))
            case "backup-role":
                print(of_backups(settings.plain(os.environ)), end="")
            case "monitor-role":
                print(of_monitoring(settings.plain(os.environ)), end="")
            case _:
                print(json.dumps(_answer(verb, rest[0]), sort_keys=True))
    except MemberError as error:
        print(f"slipway-member: {error}", file=sys.stderr)
        return 1
    return 0


def _answer(verb: str, target: str) -> dict[str, object]:
    own = settings.read(os.environ)
    match verb:
        case "status":
            return verbs.status(own)
        case "settle":
            return verbs.settle(own)
        case "grant":
            return verbs.grant(own)
        case "switchover":
            return verbs.switchover(own, target)
        case _:
            raise MemberError(f"{verb!r} is no verb: say {VERBS}")


def run(words: Sequence[str]) -> None:
    """Become Patroni, with a configuration made for this container."""
    own = settings.read(os.environ, words)
    content = configuration(own, limits.memory(), has_data=(Path(DATA) / "PG_VERSION").is_file())
    SHARED_FILE.write_text(json.dumps(shared(own)), encoding="utf-8")
    path = Path(SOCKETS) / "patroni.json"
    # It holds passwords, on a file system in memory.
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.execv("/usr/bin/patroni", ["patroni", str(path)])  # nosec B606


def arguments(words: Sequence[str]) -> list[str]:
    """The arguments of a server for this container; the environment's own come after them."""
    given = settings.parse(words)
    tuned = tune(limits.memory(), int(given.get("max_connections", CONNECTIONS)))
    return [word for name, value in tuned.items() for word in ("-c", f"{name}={value}")]


if __name__ == "__main__":
    sys.exit(main())
