"""A stack's hash changes with all that shapes a container, and with nothing else."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.config import monitoring
from slipway.plans import stacks
from slipway.plans.stacks import Stack

TEMPLATE = Path(__file__).parents[1] / "standin" / "resolved.template"
FINGERPRINTS = {"jwt_secret": "1", "slipway_password": "2", "postgres_password": "3"}


def resolved(
    generation: int = 1, servers: int = 1, backups: int = 0, watchers: int = 0, logs: int = 0
) -> Any:
    return json.loads(
        string.Template(TEMPLATE.read_text()).substitute(
            SLIPWAY_ENVIRONMENT="dev",
            SLIPWAY_GENERATION=generation,
            SLIPWAY_LOG_LEVEL="info",
            SLIPWAY_RELEASE="first",
            SLIPWAY_MONITORING="minimal",
            SLIPWAY_ADDRESS="127.0.0.1",
            SLIPWAY_HTTPS_PORT=8443,
            SLIPWAY_HTTP_PORT=8080,
            SLIPWAY_BACKEND_REPLICAS=2,
            SLIPWAY_WORKER_REPLICAS=1,
            SLIPWAY_DATABASE_MEMBERS=servers,
            SLIPWAY_SYNCHRONOUS="on",
            SLIPWAY_BACKUPS=backups,
            SLIPWAY_BACKUP_POLICY="",
            SLIPWAY_WATCHERS=watchers,
            SLIPWAY_LOGS=logs,
            SLIPWAY_LOGS_DAYS="7",
            SLIPWAY_LOGS_BYTES="1000",
            SLIPWAY_LOGS_IMAGE="logs@sha256:8",
            SLIPWAY_ALERTS="",
            SLIPWAY_DOMAIN="localhost",
            SLIPWAY_MONITORING_IMAGE="monitoring@sha256:7",
            SLIPWAY_BACKUP_IMAGE="backup@sha256:6",
            SLIPWAY_BACKEND_IMAGE="backend@sha256:1",
            SLIPWAY_ETCD_IMAGE="etcd@sha256:5",
            SLIPWAY_DOOR_IMAGE="edge@sha256:1",
            SLIPWAY_EDGE_IMAGE="edge@sha256:2",
            SLIPWAY_POSTGRES_IMAGE="postgres@sha256:3",
        )
    )


def cut(
    document: Any = None, stack: str = "app", generation: int | None = 1, **fingerprints: str
) -> Stack:
    return stacks.cut(
        resolved(generation or 1) if document is None else document,
        stack,
        project=f"slipway-dev-{stack}",
        environment="dev",
        release="3f2a",
        fingerprints=FINGERPRINTS | fingerprints,
        generation=generation,
    )


def test_the_same_app_hashes_alike_in_two_generations() -> None:
    one, other = cut(generation=1), cut(generation=2)
    assert one.hashes == other.hashes
    assert one.document != other.document


CHANGES: dict[str, tuple[Callable[[Any], object], set[str]]] = {
    "image": (lambda services: services["worker"].update(image="other"), {"worker"}),
    "environment": (
        lambda services: services["backend"]["environment"].update(LOG_LEVEL="debug"),
        {"backend"},
    ),
    "limit": (lambda services: services["worker"].update(mem_limit="1"), {"worker"}),
    "replicas": (lambda services: services["backend"].update(scale=3), {"backend"}),
    "label": (lambda services: services["backend"]["labels"].update(a="b"), {"backend"}),
    "another stack": (lambda services: services["edge"].update(image="other"), set()),
}


@pytest.mark.parametrize(("change", "changed"), CHANGES.values(), ids=CHANGES)
def test_a_change_changes_the_hashes_of_the_services_that_it_is_in(
    change: Callable[[Any], object], changed: set[str]
) -> None:
    document = resolved()
    change(document["services"])
    before, after = cut().hashes, cut(document).hashes
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_changed_secret_changes_the_services_that_use_it() -> None:
    app, platform = cut().hashes, cut(stack="platform", generation=None).hashes
    assert cut(jwt_secret="other").hashes != app
    assert cut(postgres_password="other").hashes == app
    changed = cut(stack="platform", generation=None, postgres_password="other").hashes
    assert changed["postgres"] != platform["postgres"]
    assert changed["edge"] == platform["edge"]


def test_a_platform_is_not_blind_to_a_generation() -> None:
    """Only the app's own number is left out of a hash."""
    document = resolved()
    document["services"]["postgres"]["environment"] = {"GENERATION": "1"}
    other = copy.deepcopy(document)
    other["services"]["postgres"]["environment"] = {"GENERATION": "2"}
    one = cut(document, stack="platform", generation=None)
    assert one.hashes != cut(other, stack="platform", generation=None).hashes


def test_a_stack_has_its_services_and_only_the_networks_and_volumes_they_use() -> None:
    app = cut().document
    assert set(app["services"]) == {"backend", "worker"}
    assert set(app["networks"]) == {"edge-app", "app-data"}
    assert set(app["volumes"]) == {"files", "secrets-backend"}
    once = cut(stack="once").document
    assert set(once["services"]) == {"migrate"}
    assert set(once["networks"]) == {"app-data"}
    assert set(once["volumes"]) == {"secrets-migrate"}


def test_containers_are_labelled_so_that_they_are_recognized() -> None:
    stack = cut()
    assert stack.document["services"]["backend"]["labels"] == {
        "slipway.stack": "app",
        "slipway.config-hash": stack.hashes["backend"],
        "slipway.environment": "dev",
        "slipway.release": "3f2a",
    }


def test_the_release_is_a_label_and_not_a_reason_to_replace_anything() -> None:
    document = resolved()
    arguments: dict[str, Any] = {"project": "", "environment": "dev", "fingerprints": {}}
    one = stacks.cut(document, "app", release="one", **arguments)
    other = stacks.cut(document, "app", release="other", **arguments)
    assert one.hashes == other.hashes


def test_a_service_has_one_container_unless_it_says_otherwise() -> None:
    assert cut().replicas("backend") == 2
    assert cut(stack="once").replicas("migrate") == 1


def test_a_stack_is_written_as_compose_reads_it() -> None:
    stack = cut()
    assert json.loads(stack.text()) == stack.document
    assert stack.document["name"] == "slipway-dev-app"


class TestDataTier:
    """More than one server makes a service of each, and a plain one is as it was without any."""

    def platform(self, servers: int) -> Stack:
        return cut(resolved(servers=servers), stack="platform", generation=None)

    def test_each_member_has_its_own_name_and_volume(self) -> None:
        document = self.platform(3).document
        names = ["postgres", "postgres-2", "postgres-3"]
        assert [name for name in document["services"] if name.startswith("postgres")] == names
        for name in names:
            service = document["services"][name]
            assert service["environment"] == {"SYNCHRONOUS": "on", "MEMBER": name}
            assert service["stop_signal"] == "SIGTERM"
            assert name in {volume["source"] for volume in service["volumes"]}
            assert document["volumes"][name]["name"] == f"slipway-dev-{name}"
        assert len({volume["name"] for volume in document["volumes"].values()}) == 10

    def test_etcd_comes_with_replicas_and_is_alone_with_them_on_a_network(self) -> None:
        services = self.platform(2).document["services"]
        on_it = {name for name, each in services.items() if "data" in each["networks"]}
        assert on_it == {"etcd", "postgres", "postgres-2"}

    def test_a_plain_server_has_nothing_of_it(self) -> None:
        document = self.platform(1).document
        assert not {"etcd", "postgres-2"} & set(document["services"])
        assert "data" not in document["networks"]
        assert "etcd" not in document["volumes"]
        plain = document["services"]["postgres"]
        assert not {"scale", "environment", "stop_signal"} & set(plain)

    def test_another_member_leaves_the_others_as_they_are(self) -> None:
        few, many = self.platform(2).hashes, self.platform(3).hashes
        assert {name: many[name] for name in few} == few

    def test_clients_are_rolled_when_the_members_are_others(self) -> None:
        one, two = cut(resolved(servers=2)).hashes, cut(resolved(servers=3)).hashes
        assert all(one[name] != two[name] for name in ("backend", "worker"))

    def test_a_project_that_knew_no_replicas_is_left_as_it_was(self) -> None:
        document = resolved()
        for gone in ("etcd",):
            del document["services"][gone]
        del document["services"]["postgres"]["scale"]
        assert stacks.with_members(document) is document
        assert stacks.count(document) == 1


class TestBackups:
    """The backup service comes where it is wanted, and knows whom to ask."""

    def platform(self, servers: int, backups: int) -> Stack:
        document = resolved(servers=servers, backups=backups)
        return cut(document, stack="platform", generation=None)

    def test_without_a_policy_there_is_nothing_of_it(self) -> None:
        document = self.platform(1, 0).document
        assert "backup" not in document["services"]
        assert not {"backup", "state", "secrets-backup"} & set(document["volumes"])

    @pytest.mark.parametrize(
        ("servers", "told"), [(1, "postgres"), (3, "postgres,postgres-2,postgres-3")]
    )
    def test_it_is_on_one_network_with_every_server(self, servers: int, told: str) -> None:
        services = self.platform(servers, 1).document["services"]
        assert services["backup"]["environment"]["DATABASE_HOSTS"] == told
        assert set(services["backup"]["networks"]) == {"data"}
        assert all("data" in services[name]["networks"] for name in told.split(","))
        assert "scale" not in services["backup"]

    def test_it_reads_files_and_state_and_writes_its_own_volume_alone(self) -> None:
        volumes = self.platform(1, 1).document["services"]["backup"]["volumes"]
        written = {each["source"] for each in volumes if not each.get("read_only")}
        assert written == {"backup"}
        assert {each["source"] for each in volumes} - written == {
            *("files", "state", "secrets-backup"),
        }

    def test_members_keep_for_it_what_the_log_was_read_up_to(self) -> None:
        services = self.platform(2, 1).document["services"]
        assert services["postgres-2"]["environment"]["BACKUPS"] == "on"
        assert "BACKUPS" not in self.platform(2, 0).document["services"]["postgres"]["environment"]

    def test_it_changes_the_database_and_nobody_else(self) -> None:
        before, after = self.platform(1, 0).hashes, self.platform(1, 1).hashes
        assert {name for name in before if before[name] != after[name]} == {"postgres"}
        assert cut(resolved(backups=1)).hashes == cut().hashes

    def test_another_member_is_another_setting_of_it(self) -> None:
        assert self.platform(2, 1).hashes["backup"] != self.platform(3, 1).hashes["backup"]

    def test_a_project_that_knew_no_backups_is_left_as_it_was(self) -> None:
        document = resolved()
        del document["services"]["backup"]
        assert cut(document, stack="platform", generation=None).hashes == self.platform(1, 0).hashes


class TestMonitoring:
    """Who watches is there where somebody shall, on the networks that there are."""

    @staticmethod
    def platform(**changes: int) -> Stack:
        return cut(resolved(**changes), stack="platform", generation=None)

    def test_where_nobody_shall_watch_there_is_nothing_of_it(self) -> None:
        found = self.platform()
        assert not set(found.hashes) & set(monitoring.SERVICES)
        assert not set(found.document["networks"]) & {"watch", "alerts"}
        assert not set(found.document["volumes"]) & {"prometheus", "alertmanager"}

    @pytest.mark.parametrize(("servers", "backups"), [(1, 0), (1, 1), (3, 0)])
    def test_prometheus_is_on_every_network_with_something_to_measure(
        self, servers: int, backups: int
    ) -> None:
        found = self.platform(watchers=1, servers=servers, backups=backups).document
        assert set(monitoring.SERVICES) <= set(found["services"])
        networks = {"watch", "edge-app", "app-data"}
        expected = networks | ({"data"} if servers > 1 or backups else set())
        assert set(found["services"]["prometheus"]["networks"]) == expected
        assert ("data" in found["networks"]) == ("data" in expected)

    def test_one_container_holds_the_socket_and_is_on_one_network(self) -> None:
        services = self.platform(watchers=1, servers=3, backups=1).document["services"]
        holding = {
            name
            for name, each in services.items()
            if any("docker.sock" in volume["source"] for volume in each.get("volumes", ()))
        }
        assert holding == {"figures-engine"}
        assert set(services["figures-engine"]["networks"]) == {"watch"}
        outward = {name for name, each in services.items() if "alerts" in each["networks"]}
        assert outward == {"alertmanager"}

    def test_it_changes_the_plain_database_and_nobody_else(self) -> None:
        before, after = self.platform().hashes, self.platform(watchers=1).hashes
        assert {name for name in before if before[name] != after[name]} == {"postgres"}
        before, after = self.platform(servers=3).hashes, self.platform(servers=3, watchers=1).hashes
        assert {name for name in before if before[name] != after[name]} == set()

    def test_a_project_that_knew_no_monitoring_is_left_as_it_was(self) -> None:
        document = resolved()
        for name in monitoring.SERVICES:
            del document["services"][name]
        assert cut(document, stack="platform", generation=None).hashes == self.platform().hashes


class TestLogs:
    """A log store and its collector are there where the environment's file says so."""

    @staticmethod
    def platform(**changes: int) -> Stack:
        return cut(resolved(**changes), stack="platform", generation=None)

    def test_without_a_store_there_is_nothing_of_it(self) -> None:
        found = self.platform()
        assert not set(found.hashes) & {"logs", "collector"}
        assert not set(found.document["volumes"]) & {"logs", "collector"}
        assert "watch" not in found.document["networks"]

    def test_they_have_a_volume_each_and_no_way_out(self) -> None:
        services = self.platform(logs=1).document["services"]
        for name in ("logs", "collector"):
            assert set(services[name]["networks"]) == {"watch"}
            assert "scale" not in services[name]
        mounts = {each["source"]: each for each in services["collector"]["volumes"]}
        assert mounts["/var/lib/docker/containers"]["read_only"]
        assert "cap_add" not in services["collector"]

    def test_they_change_nobody_else(self) -> None:
        before, after = self.platform().hashes, self.platform(logs=1).hashes
        assert before.items() <= after.items()

    def test_every_line_says_whose_it_is(self) -> None:
        for service in resolved(logs=1)["services"].values():
            assert service["logging"]["options"]["tag"] == "{{.Name}}"
