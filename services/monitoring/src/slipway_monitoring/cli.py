"""`slipway-monitoring ROLE`: becomes one of the parts of monitoring, or says how one is."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry

from slipway_monitoring import alertmanager, exporters, prometheus, server, settings, targets
from slipway_monitoring.engine import Engine
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.exporter import Containers
from slipway_monitoring.logs import log
from slipway_monitoring.probe import Figures, Probe
from slipway_monitoring.server import Answer
from slipway_monitoring.settings import Settings

HEALTH_SECONDS = 8.0

#: Programs that a role becomes: Debian's, once their configuration is written, and the console,
#: which is too much to load for whoever only asks whether a part is healthy.
PROGRAMS: dict[str, Callable[[Settings], list[str]]] = {
    "host": lambda _settings: exporters.host(),
    "database": exporters.database,
    "alertmanager": alertmanager.render,
    "prometheus": prometheus.render,
    "console": lambda _settings: [sys.executable, "-m", "slipway_monitoring.console"],
}


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; 1 with the reason when it cannot be done."""
    chosen = parser().parse_args(words)
    try:
        if chosen.role == "health":
            return health(chosen.url)
        if chosen.role == "rules":
            return write_rules(chosen.folder)
        if chosen.role == "grafana":
            words = (sys.executable, "-m", "slipway_monitoring.grafana", chosen.folder, chosen.url)
            os.execv(words[0], words)  # noqa: S606  # nosec B606
        own = settings.load()
        if chosen.role in PROGRAMS:
            program = PROGRAMS[chosen.role](own)
            os.execv(program[0], program)  # noqa: S606  # nosec B606
        {"engine": engine, "probe": probe}[chosen.role](own)
    except MonitoringError as error:
        log("error", chosen.role, "cannot go on", reason=str(error))
        return 1
    return 0


def engine(own: Settings) -> None:
    """Serve figures and targets of the environment's containers until told to stop."""
    containers = Containers(Engine(own.engine_socket), own.environment)
    registry = CollectorRegistry()
    registry.register(containers)
    kinds = {"plain": targets.plain, "patroni": targets.patroni, "database": targets.database}
    paths: dict[str, Answer] = {
        f"/targets/{name}": server.as_json(lambda of=of: of(containers.found()))  # type: ignore[misc]
        for name, of in kinds.items()
    }
    serve(own, {**paths, "/metrics": server.figures(registry)})


def probe(own: Settings) -> None:
    """Ask the known question until told to stop, and serve what came of it."""
    registry = CollectorRegistry()
    asking = Probe(own, Figures(registry))
    serve(own, {"/metrics": server.figures(registry)}, asking.run)


def serve(
    own: Settings,
    paths: dict[str, Answer],
    work: Callable[[threading.Event], object] = threading.Event.wait,
) -> None:
    """Answer until told to stop, and do the work meanwhile, which ends when it is told.

    What the work fails with ends the process: figures of nobody who works would look good.
    """
    stop = threading.Event()
    alive = server.as_json(lambda: {"status": "live"})
    with server.make(own.host, own.port, {**paths, "/health": alive}) as running:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        threading.Thread(target=running.serve_forever, daemon=True).start()
        work(stop)
        running.shutdown()


def health(url: str) -> int:
    """Ask a part in this container whether it answers; the engine does so again and again."""
    try:
        answer = httpx.get(url, timeout=HEALTH_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise MonitoringError(f"{url} does not answer: {error}") from error
    if not answer.is_success:
        raise MonitoringError(f"{url} answers {answer.status_code}")
    return 0


def write_rules(folder: Path) -> int:
    """Write every rule that Prometheus is given into a folder, for `promtool` to test."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in prometheus.rule_files("full", backups=True).items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


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
