"""Figures and targets of containers, from an engine that speaks on a socket as a real one does."""

from __future__ import annotations

import json
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from slipway_monitoring import containers, server, targets
from slipway_monitoring.engine import Engine
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.exporter import Containers


def told(
    project: str, service: str, address: str = "", *, networks: tuple[str, ...] = (), **changes: Any
) -> dict[str, Any]:
    """What an engine says of a container."""
    name = f"{project}-{service}-1"
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": service,
        "com.docker.compose.oneoff": "False",
        "slipway.environment": "prod",
        "slipway.release": "7f3a",
    }
    return {
        "Id": name,
        "Name": f"/{name}",
        "Created": "2026-11-30T02:00:00.123456789Z",
        "Config": {"Labels": labels},
        "State": {
            "Running": True,
            "OOMKilled": False,
            "ExitCode": 0,
            "StartedAt": "2026-11-30T02:00:01Z",
            "Health": {"Status": "healthy"},
        },
        "HostConfig": {"Memory": 1 << 30, "NanoCpus": 2_000_000_000},
        "RestartCount": 3,
        "NetworkSettings": {
            "Networks": {f"slipway-prod-{each}": {"IPAddress": address} for each in networks}
        },
        **changes,
    }


PLATFORM, APP = "slipway-prod-platform", "slipway-prod-g42"
STOPPED = {
    "Running": False,
    "OOMKilled": True,
    "ExitCode": 137,
    "StartedAt": containers.NEVER,
}
FOUND = [
    told(APP, "backend", "10.0.0.5", networks=("app-data", "edge-app")),
    told(APP, "worker", "10.0.0.6", networks=("app-data",)),
    told(PLATFORM, "edge", "10.0.1.2", networks=("routed", "edge-app")),
    told(PLATFORM, "postgres", "10.0.0.2", networks=("app-data", "data")),
    told(PLATFORM, "postgres-2", "", networks=("app-data", "data"), State=STOPPED),
    told(PLATFORM, "backup", "10.0.2.3", networks=("data",)),
]
USED = {
    "cpu_stats": {
        "cpu_usage": {"total_usage": 5_000_000_000},
        "throttling_data": {"throttled_time": 250_000_000},
    },
    "memory_stats": {"usage": 600, "stats": {"inactive_file": 100}},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 1}, "eth1": {"rx_bytes": 5, "tx_bytes": 2}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"op": "Read", "value": 7},
            {"op": "read", "value": 1},
            {"op": "Write", "value": 9},
        ]
    },
    "pids_stats": {"current": 12},
}


class _Socket(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("engine", 0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with these containers; whatever is asked of it is kept in `asked`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            split = urlsplit(self.path)
            if split.path == "/containers/json":
                wanted = json.loads(parse_qs(split.query)["filters"][0])
                assert wanted == {"label": ["slipway.environment=prod"]}
                return self.answer(200, [{"Id": each["Id"]} for each in (*FOUND, {"Id": "gone"})])
            identity, what = split.path.split("/")[2:]
            known = {each["Id"]: each for each in FOUND}
            if identity not in known:
                return self.answer(404, {"message": "no such container"})
            return self.answer(200, known[identity] if what == "json" else USED)

        def answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    path = tmp_path / "docker.sock"
    with _Socket(str(path), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield Engine(path)
        serving.shutdown()


def figures(engine: Engine) -> str:
    registry = CollectorRegistry()
    registry.register(Containers(engine, "prod"))
    return generate_latest(registry).decode()


def test_a_container_is_measured_by_service_generation_and_instance(engine: Engine) -> None:
    text = figures(engine)
    labels = '{generation="42",instance="g42-backend-1",service="backend"}'
    for name, value in {
        "running": "1.0",
        "healthy": "1.0",
        "restarts_total": "3.0",
        "cpu_seconds_total": "5.0",
        "cpu_throttled_seconds_total": "0.25",
        "cpu_limit_cores": "2.0",
        "memory_bytes": "500.0",
        "memory_limit_bytes": "1.073741824e+09",
        "network_received_bytes_total": "15.0",
        "network_sent_bytes_total": "3.0",
        "block_read_bytes_total": "8.0",
        "block_written_bytes_total": "9.0",
        "processes": "12.0",
    }.items():
        assert f"slipway_container_{name}{labels} {value}\n" in text
    assert 'slipway_release_timestamp_seconds{generation="42",release="7f3a"} 1.796004' in text
    assert "slipway_engine_answers 1.0" in text


def test_a_stopped_container_is_there_and_uses_nothing_rather_than_zero(engine: Engine) -> None:
    text = figures(engine)
    labels = '{generation="",instance="postgres-2-1",service="postgres-2"}'
    assert f"slipway_container_running{labels} 0.0" in text
    assert f"slipway_container_out_of_memory{labels} 1.0" in text
    assert f"slipway_container_exit_code{labels} 137.0" in text
    for absent in ("memory_bytes", "cpu_seconds_total", "healthy", "started_timestamp_seconds"):
        assert f"slipway_container_{absent}{labels}" not in text


def test_an_engine_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    text = figures(Engine(tmp_path / "nothing.sock"))
    assert "slipway_engine_answers 0.0" in text
    assert "slipway_container_running" not in text
    with pytest.raises(MonitoringError, match="does not answer"):
        Engine(tmp_path / "nothing.sock").containers("prod")


def test_one_offs_and_other_things_are_no_services() -> None:
    once = told(APP, "migrate")
    once["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
    assert containers.parse("prod", once) is None
    assert containers.parse("prod", {**once, "Config": {"Labels": None}}) is None


def test_whom_prometheus_asks_comes_and_goes_with_the_containers(engine: Engine) -> None:
    found = Containers(engine, "prod").found()
    plain = {str(each["targets"][0]): each["labels"] for each in targets.plain(found)}  # type: ignore[index]
    assert set(plain) == {"10.0.0.5:8000", "10.0.0.6:8001", "10.0.1.2:9145", "10.0.2.3:8080"}
    assert plain["10.0.0.5:8000"] == {
        "job": "backend",
        "service": "backend",
        "generation": "42",
        "instance": "g42-backend-1",
        "__metrics_path__": "/metrics",
    }
    (member,) = targets.patroni(found)
    assert member["targets"] == ["postgres:8008"]
    (database,) = targets.database(found)
    assert database["labels"]["__param_target"] == "postgres:5432/slipway"  # type: ignore[index]


def test_a_server_answers_get_alone_and_reads_nothing(engine: Engine) -> None:
    def broken() -> object:
        raise MonitoringError("the engine does not answer")

    paths = {"/metrics": server.as_json(lambda: 1), "/targets/plain": server.as_json(broken)}
    with server.make("127.0.0.1", 0, paths) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{serving.server_address[1]}"
        with urllib.request.urlopen(f"{url}/metrics?x=1") as answer:
            assert answer.read() == b"1"
        for path, body, status in (
            ("/metrics", b"{}", 501),
            ("/containers/json", None, 404),
            ("/targets/plain", None, 503),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{url}{path}", data=body)
            assert refused.value.code == status
            refused.value.close()
        serving.shutdown()
