"""Compose accepts the two stacks of every environment, and they are production-shaped."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.config import environment as environments
from slipway.config import logs, monitoring
from slipway.config.layout import checkout
from slipway.facts.stacks import resolve

LAYOUT = checkout()
IMAGES = {
    name: f"localhost:5000/slipway/{name}:test"
    for name in ("backend", "backup", "door", "edge", "etcd", "logs", "monitoring", "postgres")
}
# Who is root, and with which of root's powers: rules are for root alone, files and state belong to
# others, and the engine's socket and its files of lines are root's.
ROOT = {
    "door": ["NET_ADMIN"],
    "backup": ["DAC_READ_SEARCH", "SETGID", "SETPCAP", "SETUID"],
    "figures-engine": [],
    "collector": [],
}


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
class TestEnvironment:
    def services(self, name: str) -> dict[str, dict[str, Any]]:
        environment = environments.load(name, LAYOUT)
        resolved = resolve(LAYOUT, name, environment, images=IMAGES, generation=7)
        services = resolved["services"]
        assert isinstance(services, dict)
        return services

    def test_it_resolves_to_the_same_services(self, name: str) -> None:
        services = {"backend", "worker", "migrate", "door", "edge", "etcd", "postgres", "backup"}
        expected = services | {*logs.SERVICES, *monitoring.SERVICES}
        assert set(self.services(name)) == expected

    def test_only_the_door_publishes_ports(self, name: str) -> None:
        publishing = [each for each, service in self.services(name).items() if "ports" in service]
        assert publishing == ["door"]

    def test_nothing_is_relaxed(self, name: str) -> None:
        for each, service in self.services(name).items():
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["user"].split(":")[0].isdigit()
            assert (int(service["user"].split(":")[0]) > 0) is (each not in ROOT)
            assert (service.get("cap_add") or []) == ROOT.get(each, [])
            assert int(service["mem_limit"]) > 0
            assert float(service["cpus"]) > 0
            assert service["pids_limit"] > 0
            assert service["logging"]["options"]["max-size"]
            assert service["restart"]
            assert service["healthcheck"]

    def test_the_database_is_out_of_reach_of_the_edge(self, name: str) -> None:
        services = self.services(name)
        assert set(services["postgres"]["networks"]) == {"app-data", "data"}
        assert set(services["etcd"]["networks"]) == {"data"}
        assert "data" not in {*services["backend"]["networks"], *services["edge"]["networks"]}
        assert "edge-app" not in services["figures-database"]["networks"]
        assert set(services["prometheus"]["networks"]) == {"watch", "edge-app", "app-data", "data"}
        assert "app-data" not in services["edge"]["networks"]
        assert "public" not in services["backend"]["networks"]
