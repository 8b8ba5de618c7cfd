"""What Prometheus shall ask, made of the containers that run: generations come and go.

The format is Prometheus's HTTP service discovery: a list of targets with their labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slipway_monitoring.containers import Container

DATABASE_EXPORTER = "figures-database:9187"


@dataclass(frozen=True)
class Door:
    """Where a service tells its figures: job, network, port, and the path of them."""

    job: str
    network: str
    port: int
    path: str = "/metrics"


PLAIN = {
    "backend": Door("backend", "app-data", 8000),
    "worker": Door("worker", "app-data", 8001),
    "edge": Door("edge", "edge-app", 9145),
    "edge-b": Door("edge", "edge-app", 9145),
    "backup": Door("backup", "data", 8080),
    "etcd": Door("etcd", "data", 2381),
    "logs": Door("logs", "watch", 9428),
    "collector": Door("collector", "watch", 8080),
}
PATRONI_PORT = 8008
POSTGRES_PORT = 5432

Target = dict[str, object]


def plain(found: Iterable[Container]) -> list[Target]:
    """Services that tell their own figures."""
    return [
        _target(each, f"{address}:{door.port}", job=door.job, __metrics_path__=door.path)
        for each in found
        if (door := PLAIN.get(each.service)) and (address := each.addresses.get(door.network))
    ]


def patroni(found: Iterable[Container]) -> list[Target]:
    """The members of a data tier, by the names that their certificates have."""
    return [
        _target(each, f"{each.service}:{PATRONI_PORT}", job="patroni")
        for each in _members(found)
        if "data" in each.addresses
    ]


def database(found: Iterable[Container]) -> list[Target]:
    """The database's servers, each asked about by the one exporter."""
    return [
        _target(
            each,
            DATABASE_EXPORTER,
            job="database",
            __metrics_path__="/probe",
            __param_target=f"{each.service}:{POSTGRES_PORT}/slipway",
            __param_auth_module="slipway",
        )
        for each in _members(found)
    ]


def is_server(service: str) -> bool:
    """Whether a service is one of the database's servers."""
    return service == "postgres" or service.startswith("postgres-")


def _members(found: Iterable[Container]) -> Iterable[Container]:
    return (each for each in found if each.running and is_server(each.service))


def _target(container: Container, address: str, **labels: str) -> Target:
    own = {
        "service": container.service,
        "generation": container.generation,
        "instance": container.instance,
    }
    return {"targets": [address], "labels": own | labels}
