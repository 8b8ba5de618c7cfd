"""The parts of monitoring: each role becomes one of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from slipway_monitoring import alertmanager, exporters, prometheus, server, settings, targets
from slipway_monitoring.console import releases
from slipway_monitoring.engine import Engine
from slipway_monitoring.exporter import Containers
from slipway_monitoring.probe import Figures, Probe
from slipway_monitoring.server import Answer
from slipway_monitoring.settings import Settings

#: Programs that a role becomes: Debian's, once their configuration is written, and the console,
#: which is too much to load for the others.
PROGRAMS: dict[str, Callable[[Settings], list[str]]] = {
    "host": lambda _settings: exporters.host(),
    "database": exporters.database,
    "alertmanager": alertmanager.render,
    "prometheus": prometheus.render,
    "console": lambda _settings: [sys.executable, "-m", "slipway_monitoring.console"],
}


def begin(role: str) -> None:
    """Become a part of monitoring. Raises MonitoringError when that cannot be done."""
    own = settings.load()
    if role in PROGRAMS:
        program = PROGRAMS[role](own)
        os.execv(program[0], program)  # noqa: S606  # nosec B606
    {"engine": engine, "probe": probe}[role](own)


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


def keep_releases(told: str) -> None:
    """Keep what was released for the console's page. Raises MonitoringError."""
    releases.keep(settings.load().data_directory, told)


def write_rules(folder: Path) -> None:
    """Write every rule that Prometheus is given into a folder, for `promtool` to test."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in prometheus.rule_files("full", backups=True).items():
        (folder / name).write_text(text, encoding="utf-8")
