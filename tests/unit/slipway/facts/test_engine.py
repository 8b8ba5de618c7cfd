"""Containers are read as the engine describes them: attributes as Engine 26.1 gave them."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any, ClassVar

import pytest

from slipway.errors import Refused, SlipwayError
from slipway.facts import engine
from slipway.facts.engine import Container, Probe

ATTRIBUTES: dict[str, Any] = {
    "Id": "66d3cc867c9d",
    "Name": "/slipway-dev-g2-backend-1",
    "State": {
        "Status": "running",
        "OOMKilled": False,
        "ExitCode": 0,
        "StartedAt": "2026-01-02T03:04:05.80618942Z",
        "Health": {
            "Status": "unhealthy",
            "FailingStreak": 3,
            "Log": [
                {
                    "Start": "2026-01-02T03:04:06.697650615Z",
                    "End": "2026-01-02T03:04:06.839225568Z",
                    "ExitCode": 1,
                    "Output": "503 starting\n",
                }
            ],
        },
    },
    "RestartCount": 2,
    "HostConfig": {"Memory": 268435456},
    "NetworkSettings": {"Networks": {"slipway-dev-front": {"Aliases": ["backend-g2"]}}},
    "Image": "sha256:dd69",
    "Config": {
        "Image": "localhost:5000/slipway/backend@sha256:dd69",
        "Labels": {
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.project": "slipway-dev-g2",
            "com.docker.compose.service": "backend",
            "slipway.config-hash": "808328b3f9486e94",
            "slipway.release": "3f2a",
        },
    },
}


def changed(identity: str, **labels: str) -> dict[str, Any]:
    made = copy.deepcopy(ATTRIBUTES) | {"Id": identity, "Name": f"/{identity}"}
    made["Config"]["Labels"] |= {
        f"com.docker.compose.{key}": value for key, value in labels.items()
    }
    return made


class _Engine(BaseHTTPRequestHandler):
    containers: ClassVar[list[dict[str, Any]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.removeprefix("/v1.45").partition("?")
        answers: dict[str, Any] = {
            "/version": {"ApiVersion": "1.45"},
            "/_ping": "OK",
            "/containers/json": [
                {"Id": each["Id"], "Labels": each["Config"]["Labels"]} for each in self.containers
            ],
            "/networks": [{"Name": "slipway-dev-front", "Id": "1"}, {"Name": "bridge", "Id": "2"}],
            "/networks/1": {
                "Name": "slipway-dev-front",
                "Internal": True,
                "Containers": {"66d3cc867c9d": {"Name": "slipway-dev-g2-backend-1"}},
            },
            "/images/sha256:dd69/json": {"Id": "sha256:dd69", "Config": {"Env": ["LANG=C.UTF-8"]}},
            "/volumes": {"Volumes": [{"Name": "slipway-dev-state"}, {"Name": "slipway-devel-x"}]},
        } | {f"/containers/{each['Id']}/json": each for each in self.containers}
        if path == "/containers/json":
            assert "com.docker.compose.project" in query
        status = 200 if path in answers else 500
        body = json.dumps(answers.get(path, {"message": "the disk is full"})).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The containers of an engine that DOCKER_HOST names."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr(_Engine, "containers", [])
    with ThreadingUnixStreamServer(f"{tmp_path}/engine.sock", _Engine) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield _Engine.containers
        server.shutdown()


def test_a_container_is_read_whole(containers: list[dict[str, Any]]) -> None:
    containers.append(ATTRIBUTES)
    with engine.client() as connection:
        (found,) = engine.read(connection, "dev").containers
    assert found.settings["memory"] == "256 MiB"
    assert found.settings["alias backend-g2"] == "slipway-dev-front"
    assert replace(found, settings={}) == Container(
        id="66d3cc867c9d",
        name="slipway-dev-g2-backend-1",
        project="slipway-dev-g2",
        service="backend",
        image="localhost:5000/slipway/backend@sha256:dd69",
        config_hash="808328b3f9486e94",
        release="3f2a",
        state="running",
        health="unhealthy",
        exit_code=0,
        out_of_memory=False,
        restarts=2,
        started="2026-01-02T03:04:05.80618942Z",
        memory_limit=268435456,
        probes=(Probe("2026-01-02T03:04:06.697650615Z", 1, "503 starting"),),
        defaults={"environment LANG": "C.UTF-8"},
    )


def test_an_environment_is_its_own_containers_networks_and_volumes(
    containers: list[dict[str, Any]],
) -> None:
    containers += [
        changed("ours", project="slipway-dev-platform"),
        changed("one-shot", oneoff="True"),
        changed("theirs", project="slipway-devel-g1"),
        changed("foreign", project="shop"),
    ]
    with engine.client() as connection:
        found = engine.read(connection, "dev")
    assert [each.name for each in found.containers] == ["ours"]
    assert [each.name for each in found.of("slipway-dev-platform")] == ["ours"]
    assert found.of("slipway-dev-g1") == ()
    assert found.networks == frozenset({"slipway-dev-front"})
    assert found.volumes == frozenset({"slipway-dev-state"})
    assert found.internal == frozenset({"slipway-dev-front"})
    assert found.joined == {"slipway-dev-front": frozenset({"slipway-dev-g2-backend-1"})}
    assert found.one_offs == frozenset({"one-shot"})


def test_a_container_without_a_health_check_never_serves(containers: list[dict[str, Any]]) -> None:
    bare = copy.deepcopy(ATTRIBUTES)
    bare["State"] |= {"Health": None}
    del bare["Config"]["Labels"]["slipway.config-hash"]
    containers.append(bare)
    with engine.client() as connection:
        (found,) = engine.read(connection, "dev").containers
    assert (found.serving, found.condition, found.config_hash) == (False, "running", "")


@pytest.mark.parametrize(
    ("status", "health", "serving", "condition"),
    [
        ("running", "healthy", True, "healthy"),
        ("running", "starting", False, "starting"),
        ("exited", "healthy", False, "exited"),
        ("restarting", "unhealthy", False, "restarting"),
    ],
)
def test_serving_is_running_and_healthy(
    containers: list[dict[str, Any]], status: str, health: str, serving: bool, condition: str
) -> None:
    made = copy.deepcopy(ATTRIBUTES)
    made["State"]["Status"] = status
    made["State"]["Health"]["Status"] = health
    containers.append(made)
    with engine.client() as connection:
        (found,) = engine.read(connection, "dev").containers
    assert (found.serving, found.condition) == (serving, condition)


def test_what_the_engine_refuses_is_said_in_its_words(containers: list[dict[str, Any]]) -> None:
    with (
        pytest.raises(SlipwayError, match="the engine refused: the disk is full"),
        engine.client() as connection,
    ):
        connection.images.list()


def test_no_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense://")
    with pytest.raises(Refused, match="No Docker engine answers"), engine.client():
        pass
