"""Figures of the environment's containers, asked of the engine at the moment they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from slipway_monitoring import containers
from slipway_monitoring.containers import Container, Used
from slipway_monitoring.engine import Engine
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.logs import log

LABELS = ("service", "generation", "instance")
#: Containers asked about at once.
AT_ONCE = 4

_STATES: dict[str, tuple[str, Callable[[Container], float | None]]] = {
    "running": ("1 while it runs.", lambda each: each.running),
    "healthy": ("1 while its check says so; absent while it starts.", lambda each: each.healthy),
    "out_of_memory": ("1 when the kernel ended it for memory.", lambda each: each.out_of_memory),
    "exit_code": ("What it ended with last.", lambda each: each.exit_code),
    "started_timestamp_seconds": ("When it started.", lambda each: each.started or None),
    "memory_limit_bytes": ("What it may hold.", lambda each: each.memory_limit or None),
    "cpu_limit_cores": ("How many processors it may use.", lambda each: each.cpu_limit or None),
}
_COUNTED: dict[str, tuple[str, Callable[[Used], float]]] = {
    "cpu_seconds": ("Processor time.", lambda each: each.cpu_seconds),
    "cpu_throttled_seconds": ("Time it was held back.", lambda each: each.throttled_seconds),
    "network_received_bytes": ("Received on all networks.", lambda each: each.received_bytes),
    "network_sent_bytes": ("Sent on all networks.", lambda each: each.sent_bytes),
    "block_read_bytes": ("Read from disks.", lambda each: each.read_bytes),
    "block_written_bytes": ("Written to disks.", lambda each: each.written_bytes),
}
_HELD: dict[str, tuple[str, Callable[[Used], float]]] = {
    "memory_bytes": ("What it holds, but for what can be dropped.", lambda each: each.memory_bytes),
    "processes": ("Processes and threads.", lambda each: each.processes),
}


class Containers(Collector):
    """Every container of one environment. What is not known is left out, never zero."""

    def __init__(self, engine: Engine, environment: str) -> None:
        self._engine = engine
        self._environment = environment

    def found(self) -> tuple[Container, ...]:
        """The containers now. Raises MonitoringError when the engine does not answer."""
        told = self._engine.containers(self._environment)
        parsed = (containers.parse(self._environment, each) for each in told)
        return tuple(each for each in parsed if each is not None)

    def collect(self) -> Iterator[Metric]:
        """Ask the engine, and tell."""
        answers = GaugeMetricFamily("slipway_engine_answers", "1 while the engine answers.")
        try:
            found = self.found()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                measured = tuple(pool.map(self._used, found))
        except MonitoringError as error:
            log("error", "figures-engine", "the engine does not answer", reason=str(error))
            answers.add_metric([], 0)
            yield answers
            return
        answers.add_metric([], 1)
        yield answers
        yield from _states(found)
        yield from _uses(found, measured)
        yield from _releases(found)

    def describe(self) -> Iterator[Metric]:
        """Nothing: otherwise the engine would be asked when this is registered."""
        return iter(())

    def _used(self, container: Container) -> Used | None:
        if not container.running:
            return None
        told = self._engine.statistics(container.identity)
        return containers.used(told) if told else None


def _labels(container: Container) -> list[str]:
    return [container.service, container.generation, container.instance]


def _states(found: tuple[Container, ...]) -> Iterator[Metric]:
    for name, (what, of) in _STATES.items():
        family = GaugeMetricFamily(f"slipway_container_{name}", what, labels=LABELS)
        for each in found:
            value = of(each)
            if value is not None:
                family.add_metric(_labels(each), float(value))
        yield family
    restarts = CounterMetricFamily(
        "slipway_container_restarts", "How often the engine started it anew.", labels=LABELS
    )
    for each in found:
        restarts.add_metric(_labels(each), each.restarts)
    yield restarts


def _uses(found: tuple[Container, ...], measured: tuple[Used | None, ...]) -> Iterator[Metric]:
    known = [(each, used) for each, used in zip(found, measured, strict=True) if used is not None]
    for name, (what, counted) in _COUNTED.items():
        counter = CounterMetricFamily(f"slipway_container_{name}", what, labels=LABELS)
        for each, used in known:
            counter.add_metric(_labels(each), counted(used))
        yield counter
    for name, (what, held) in _HELD.items():
        gauge = GaugeMetricFamily(f"slipway_container_{name}", what, labels=LABELS)
        for each, used in known:
            gauge.add_metric(_labels(each), held(used))
        yield gauge


def _releases(found: tuple[Container, ...]) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "slipway_release_timestamp_seconds",
        "When the first container of a generation was made.",
        labels=["release", "generation"],
    )
    times: dict[tuple[str, str], float] = {}
    for each in found:
        if each.generation:
            key = (each.release, each.generation)
            times[key] = min(each.created, times.get(key, each.created))
    for (release, generation), when in times.items():
        family.add_metric([release, generation], when)
    yield family
