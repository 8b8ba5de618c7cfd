"""`slipway-logs ROLE`: becomes the store or the collector, or asks the store something."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway_logs import bring, collector, settings, store


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; 1 with the reason when it cannot be done."""
    chosen = parser().parse_args(words)
    try:
        if chosen.role == "ask":
            return store.ask(chosen.path, json.loads(sys.stdin.read()))
        if chosen.role == "health":
            return 0 if store.healthy(chosen.address) else 1
        if chosen.role == "bring":
            # The engine cuts a line where its bytes end, which may be inside a letter.
            sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
            bring.run(sys.stdin, sys.stdout, chosen.store, chosen.folder, chosen.limit)
            return 0
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
    brings = roles.add_parser("bring", help="what rsyslog gives its lines to")
    brings.add_argument("store", help="the store's address, as http://logs:9428")
    brings.add_argument("folder", type=Path, help="where what waits for the store is kept")
    brings.add_argument("limit", type=int, help="how many bytes may wait")
    asked = roles.add_parser("ask", help="print what the store in this container answers")
    asked.add_argument("path", help="such as /select/logsql/query; its words are JSON on stdin")
    health = roles.add_parser("health", help="whether a part in this container answers")
    health.add_argument("address", help="host and port")
    return made


if __name__ == "__main__":
    sys.exit(main())
