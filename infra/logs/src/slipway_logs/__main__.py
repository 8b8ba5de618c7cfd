"""`slipway-logs ROLE`: becomes the store or the collector, or asks the store something."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from slipway_logs import collector, settings, store


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; 1 with the reason when it cannot be done."""
    chosen = parser().parse_args(words)
    try:
        if chosen.role == "ask":
            return store.ask(chosen.path, json.loads(sys.stdin.read()))
        if chosen.role == "health":
            return 0 if store.healthy(chosen.address) else 1
        own = settings.read()
        if chosen.role == "store":
            program = store.words(own)
            os.execv(program[0], program)  # noqa: S606  # nosec B606
        return collector.run(own)
    except (settings.SettingsError, OSError) as error:
        print(json.dumps({"level": "error", "event": "cannot go on", "reason": str(error)}))
        return 1


def parser() -> argparse.ArgumentParser:
    """The words that are understood."""
    made = argparse.ArgumentParser(prog="slipway-logs", description=__doc__, allow_abbrev=False)
    roles = made.add_subparsers(dest="role", required=True, metavar="ROLE")
    roles.add_parser("store", help="keeps the lines, and answers questions about them")
    roles.add_parser("collector", help="brings the store every line of the environment")
    asked = roles.add_parser("ask", help="print what the store in this container answers")
    asked.add_argument("path", help="such as /select/logsql/query; its words are JSON on stdin")
    health = roles.add_parser("health", help="whether a part in this container answers")
    health.add_argument("address", help="host and port")
    return made


if __name__ == "__main__":
    sys.exit(main())
