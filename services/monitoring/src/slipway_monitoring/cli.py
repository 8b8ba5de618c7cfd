"""`slipway-monitoring ROLE`: becomes one of the parts of monitoring, or says how one is."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway_monitoring import health
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.logs import log


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; 1 with the reason when it cannot be done."""
    chosen = parser().parse_args(words)
    try:
        _do(chosen)
    except MonitoringError as error:
        log("error", chosen.role, "cannot go on", reason=str(error))
        return 1
    return 0


def _do(chosen: argparse.Namespace) -> None:
    if chosen.role == "health":
        health.ask(chosen.url)
        return
    if chosen.role == "grafana":
        words = (sys.executable, "-m", "slipway_monitoring.grafana", chosen.folder, chosen.url)
        os.execv(words[0], words)  # noqa: S606  # nosec B606
    # Not for `health`, which the engine runs every few seconds in every container.
    from slipway_monitoring import roles  # noqa: PLC0415

    if chosen.role == "rules":
        roles.write_rules(chosen.folder)
    elif chosen.role == "releases":
        roles.keep_releases(sys.stdin.read())
    else:
        roles.begin(chosen.role)


def parser() -> argparse.ArgumentParser:
    """The words that are understood."""
    made = argparse.ArgumentParser(
        prog="slipway-monitoring", description=__doc__, allow_abbrev=False
    )
    roles = made.add_subparsers(dest="role", required=True, metavar="ROLE")
    roles.add_parser("prometheus", help="keeps what is measured, and watches it")
    roles.add_parser("alertmanager", help="tells people")
    roles.add_parser("host", help="figures of the machine")
    roles.add_parser("database", help="figures of the database's servers")
    roles.add_parser("engine", help="figures of the containers, and whom Prometheus shall ask")
    roles.add_parser("probe", help="asks a known question as a user would")
    roles.add_parser("console", help="the page on which people see all of it")
    roles.add_parser("releases", help="keep for the page what was released: JSON, on stdin")
    asked = roles.add_parser("health", help="whether a part in this container answers")
    asked.add_argument("url")
    grafana = roles.add_parser("grafana", help="write what Grafana reads into a folder")
    grafana.add_argument("folder")
    grafana.add_argument("--url", default="http://prometheus:9090", help="where it asks Prometheus")
    rules = roles.add_parser("rules", help="write the rules into a folder")
    rules.add_argument("folder", type=Path)
    return made


if __name__ == "__main__":
    sys.exit(main())
