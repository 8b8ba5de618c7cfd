"""Twelve faults, each with its own name, evidence and next command."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from standin_world import World, ready_host

from slipway.facts import host
from slipway.plans.diagnosis import Code


def service(**faults: str) -> Callable[[World], None]:
    """New containers of a service fare like this."""
    return lambda world: world.standin.faults.service.update(faults)


def said(fares: str, **logs: str) -> Callable[[World], None]:
    """A service fares like this, and says why."""

    def seed(world: World) -> None:
        world.standin.faults.service.update(dict.fromkeys(logs, fares))
        world.standin.faults.log.update(logs)

    return seed


def fault(**faults: object) -> Callable[[World], None]:
    """Something goes wrong in the engine."""
    return lambda world: [setattr(world.standin.faults, *each) for each in faults.items()] and None


def wrong_port(world: World) -> None:
    world.standin.faults.ports["backend"] = 9000
    world.standin.faults.edge_refuses[2] = "no backend of generation 2 is ready"


def lock_held(world: World) -> None:
    world.standin.faults.migrate = "slipway-backend: A table stayed locked for 10s: nothing was"
    holder = {"process": 71, "user": "slipway", "program": "psql", "state": "idle in transaction"}
    world.standin.faults.blockers = json.dumps(
        holder | {"seconds": 340, "statement": "LOCK TABLE\n documents"}
    )


def registry_gone(world: World) -> None:
    world.configure(registry="localhost:1")


def disk_full(world: World) -> None:
    left = replace(ready_host().machine, disk_free=9 << 30)
    world.monkeypatch.setattr(host, "read", lambda: replace(ready_host(), machine=left))
    world.configure(free_disk_gib=20)


FAULTS: dict[Code, tuple[Callable[[World], None], int, str, str]] = {
    Code.WRONG_PORT: (wrong_port, 1, "8000 is asked for, it listens on 9000", "edit PORT of"),
    Code.SECRET_MISSING: (
        said("exited", backend="slipway-backend: DATABASE_URL is not set: give it"),
        1,
        "a secret is missing or too short: slipway-backend: DATABASE_URL is not set",
        "invoke secrets.list --env dev",
    ),
    Code.IMAGE_UNUSABLE: (
        fault(up="Error response from daemon: manifest for slipway/backend@sha256:0 not found"),
        1,
        "the image cannot be fetched or started\n    Error response from daemon",
        "invoke build",
    ),
    Code.CRASH_ON_START: (
        service(backend="exited"),
        1,
        "the program ends by itself: exit code 3",
        "invoke logs --env dev --service backend",
    ),
    Code.OUT_OF_MEMORY: (
        service(backend="oom"),
        1,
        "ended for want of memory: its limit is 768 MiB",
        "edit mem_limit in infra/compose/environments/dev.yaml",
    ),
    Code.MIGRATION_FAILED: (
        fault(migrate="column already exists"),
        1,
        "The migration failed:\n    column already exists",
        "invoke logs --env dev --service postgres",
    ),
    Code.MIGRATION_LOCKED: (
        lock_held,
        1,
        "open for 340 s: process 71 of slipway (psql, idle in transaction): LOCK TABLE documents",
        "invoke release --env dev",
    ),
    Code.NEVER_READY: (
        service(backend="unhealthy"),
        1,
        "runs, but never got ready",
        "invoke logs --env dev --service backend",
    ),
    Code.SLOW_START: (
        service(backend="starting"),
        1,
        "did not become healthy within 5 s",
        "edit x-slipway/ready_seconds in",
    ),
    Code.REGISTRY_GONE: (registry_gone, 2, "The registry at localhost:1", "invoke host.prepare"),
    Code.DISK_FULL: (disk_full, 2, "9.0 GiB free, 20 GiB are needed", "docker system df"),
    Code.PORT_TAKEN: (
        fault(port_taken="Bind for 0.0.0.0:8443 failed: port is already allocated"),
        1,
        "slipway-dev-platform could not be started: a port is taken",
        "ss --listening",
    ),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_release_names_its_fault(released: World, code: Code) -> None:
    seed, exit_code, evidence, mend = FAULTS[code]
    seed(released)
    changed = "infra/nginx/Dockerfile" if code is Code.PORT_TAKEN else "services/backend/app.py"
    released.change(changed)
    ended = released.release()
    assert ended.exit_code == exit_code, ended
    assert ended.errors.count(f"release: {code}: ") == 1, ended.errors
    assert evidence in ended.errors
    assert f"\n  next: {mend}" in ended.errors
    assert released.standin.generation == 1
    if exit_code == 1:
        assert released.ledger()[-1]["code"] == code


def test_a_database_that_does_not_answer_the_backend_is_told_with_its_words(
    released: World,
) -> None:
    released.standin.faults.edge_refuses[2] = "no backend of generation 2 is ready"
    released.change("services/backend/app.py")
    errors = released.release().errors
    assert errors.startswith("release: database-gone: The edge refused to offer generation 2")
    assert "the edge asked /health/ready: 503 The database cannot be reached." in errors


def test_a_generation_that_is_healthy_before_it_is_ready_is_waited_for(released: World) -> None:
    released.standin.faults.edge_refuses[2] = "no backend of generation 2 is ready"
    released.standin.faults.edge_refusals = 3
    released.change("services/backend/app.py")
    ended = released.release()
    assert ended.exit_code == 0, ended
    assert released.standin.generation == 2


class TestDiagnose:
    def test_a_sound_environment_has_no_fault(self, released: World) -> None:
        ended = released.invoke("diagnose", "--env", "dev")
        assert ended.exit_code == 0, ended
        assert "No fault found in dev: engine, registry, disk, containers, edge" in ended.output

    def test_nothing_is_changed(self, released: World) -> None:
        released.standin.changes.clear()
        released.invoke("diagnose", "--env", "dev")
        assert released.standin.changes == []

    def test_every_sick_container_is_shown_with_its_block(self, released: World) -> None:
        for each in released.standin.project("slipway-dev-g1"):
            if each["Name"].endswith("backend-1"):
                each["State"] |= {"Status": "exited", "ExitCode": 137, "OOMKilled": True}
                each["State"]["Health"]["Status"] = "unhealthy"
        ended = released.invoke("diagnose", "--env", "dev")
        assert ended.exit_code == 1
        assert "out-of-memory: slipway-dev-g1-backend-1: ended for want of memory" in ended.output
        assert "last log lines:\n      /slipway-dev-g1-backend-1 said this" in ended.output
        assert "next: edit mem_limit in infra/compose/environments/dev.yaml" in ended.output
        assert "never-ready: 1 of 2 backends of generation 1 are ready" in ended.output
        assert ended.errors == "diagnose: dev has 2 faults\n"

    def test_who_was_started_again_after_it_ran_out_of_memory_is_told_so(
        self, released: World
    ) -> None:
        released.standin.faults.service["backend"] = "oom"
        for each in released.standin.project("slipway-dev-g1"):
            if each["Name"].endswith("backend-1"):
                each["RestartCount"] = 2
                each["State"]["Health"]["Status"] = "starting"
        ended = released.invoke("diagnose", "--env", "dev")
        assert "out-of-memory: slipway-dev-g1-backend-1: ended for want of memory" in ended.output

    def test_an_edge_that_does_not_answer_is_a_fault(self, released: World) -> None:
        released.standin.faults.edge_silent = True
        ended = released.invoke("diagnose", "--env", "dev")
        assert "edge-gone: the edge does not run or does not answer" in ended.output
        assert "no such process" in ended.output

    def test_a_registry_that_is_gone_does_not_hide_the_rest(self, released: World) -> None:
        registry = yaml.safe_load(released.layout.overlay("dev").read_text())["x-slipway"]
        assert registry["registry"] == released.standin.registry
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        released.configure(registry=f"localhost:{port}", free_disk_gib=9999)
        ended = released.invoke("diagnose", "--env", "dev", "--json")
        faults = json.loads(ended.output)["faults"]
        assert [each["code"] for each in faults] == ["registry-gone", "disk-full"]

    def test_a_release_that_failed_is_remembered(self, released: World) -> None:
        released.standin.faults.service["worker"] = "oom"
        released.change("services/backend/app.py")
        assert released.release().exit_code == 1
        ended = released.invoke("diagnose", "--env", "dev")
        assert ended.exit_code == 1
        assert "out-of-memory: the last release (" in ended.output
        assert "failed: slipway-dev-g2 did not become healthy" in ended.output

    def test_a_release_that_was_killed_is_told_once_its_lease_is_over(
        self, released: World
    ) -> None:
        released.standin.faults.die_after_step = 2
        released.change("services/backend/app.py")
        released.release()
        released.standin.revive()
        released.standin.change_lease(expires=0.0)
        ended = released.invoke("diagnose", "--env", "dev")
        assert "release-unfinished: a release was not finished: its last step was `" in ended.output
        assert "next: invoke release --env dev" in ended.output

    def test_an_environment_that_was_never_released_has_nothing_that_runs(
        self, world: World
    ) -> None:
        ended = world.invoke("diagnose", "--env", "dev")
        assert ended.exit_code == 1
        assert "stopped: nothing of dev runs\n  next: invoke release --env dev" in ended.output
