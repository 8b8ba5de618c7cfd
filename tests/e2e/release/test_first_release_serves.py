"""The first release: a working stack, proved from outside, hardened, and left alone by a second."""

from __future__ import annotations

import json
import ssl
import time
from typing import Any

import httpx
import pytest
from site_copy import NAME, PORTS, Site

from slipway.report import Result


def inspected(site: Site) -> list[dict[str, Any]]:
    return [
        container.attrs
        for container in site.engine.containers.list(
            filters={"label": f"slipway.environment={NAME}"}
        )
        if container.labels.get("com.docker.compose.project")
    ]


def test_it_ends_with_what_a_person_needs_next(released: Site) -> None:
    text = released.first_release
    for phase in ("platform: postgres", "platform: edge", "migrate database", "prove generation"):
        assert phase in text
    assert released.url in text
    assert f".slipway/{NAME}/ca.crt" in text
    assert f".slipway/{NAME}/admin_password" in text
    assert f"invoke status --env {NAME}" in text


def test_a_question_is_answered_from_the_sample_that_knows(released: Site) -> None:
    samples = json.loads((released.root / "samples" / "questions.json").read_text())
    with released.client() as http:
        for sample in samples:
            answer = http.post("/v1/query", json={"question": sample["question"]}).json()
            cited = {citation["filename"] for citation in answer["citations"]}
            assert sample["document"] in cited


def test_status_names_what_serves(released: Site) -> None:
    status = released.status()
    assert status["serving"] is True
    conditions = {each["service"]: each["condition"] for each in status["containers"]}
    services = ("backend", "worker", "door", "edge", "postgres")
    assert conditions == dict.fromkeys(services, "healthy")
    assert len([each for each in status["containers"] if each["service"] == "backend"]) == 2


def test_every_image_runs_by_digest(released: Site) -> None:
    assert all("@sha256:" in each["image"] for each in released.status()["containers"])


def test_every_container_is_confined(released: Site) -> None:
    for attributes in inspected(released):
        host, config = attributes["HostConfig"], attributes["Config"]
        door = config["Labels"]["com.docker.compose.service"] == "door"
        # Root with one capability, in its own network namespace: rules are for root alone.
        assert (int(config["User"].split(":")[0]) > 0) is not door
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert [each.removeprefix("CAP_") for each in host["CapAdd"] or ()] == (
            ["NET_ADMIN"] if door else []
        )
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Privileged"] is False
        assert host["Memory"] > 0
        assert host["NanoCpus"] > 0
        assert host["PidsLimit"] > 0
        assert config["Healthcheck"]["Test"]
        assert host["LogConfig"]["Config"]["max-size"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_only_the_door_publishes_ports(released: Site) -> None:
    published = {
        attributes["Config"]["Labels"]["com.docker.compose.service"]
        for attributes in inspected(released)
        if attributes["HostConfig"]["PortBindings"]
    }
    assert published == {"door"}


def test_the_database_has_no_way_out(released: Site) -> None:
    networks = {
        network.name: network.attrs["Internal"]
        for network in released.engine.networks.list(
            filters={"label": f"slipway.environment={NAME}"}
        )
    }
    assert networks == {
        f"slipway-{NAME}-front": False,
        f"slipway-{NAME}-routed": False,
        f"slipway-{NAME}-edge-app": True,
        f"slipway-{NAME}-app-data": True,
        f"slipway-{NAME}-models": False,
    }


def test_no_secret_stands_in_an_environment_variable_or_a_log(released: Site) -> None:
    folder = released.root / ".slipway" / NAME
    password = (folder / "admin_password").read_text()
    assert (folder / "admin_password").stat().st_mode & 0o077 == 0
    for attributes in inspected(released):
        assert password not in json.dumps(attributes)
        log = released.engine.containers.get(attributes["Id"]).logs().decode(errors="replace")
        assert password not in log
        assert "postgresql://slipway:" not in json.dumps(attributes) + log


def test_the_certificate_is_trusted_through_the_authority_alone(released: Site) -> None:
    assert httpx.get(f"{released.url}/health", verify=released.trust).json() == {
        "status": "serving"
    }
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{released.url}/health", verify=ssl.create_default_context())


def test_plain_http_leads_to_https(released: Site) -> None:
    answer = httpx.get(f"http://localhost:{PORTS['http']}/v1/documents?limit=1")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{released.url}/v1/documents?limit=1"


def test_a_second_release_touches_nothing(released: Site, figures: list[Result]) -> None:
    before = released.containers()
    began = time.monotonic()
    answer = released.invoke("release", "--env", NAME)
    figures.append(Result("release without changes", round(time.monotonic() - began, 1), "s"))
    assert answer.exit_code == 0
    assert "Nothing to do" in answer.text
    assert released.containers() == before


def test_logs_are_json_lines_with_request_ids(released: Site) -> None:
    request = "e2e-request-0001"
    httpx.get(
        f"{released.url}/v1/documents",
        verify=released.trust,
        headers={"x-request-id": request},
    )
    text = released.invoke("logs", "--env", NAME, "--service", "edge", "--tail", "all").text
    lines = [line[line.index("{") :] for line in text.splitlines() if request in line]
    assert [json.loads(line)["request_id"] for line in lines] == [request]
    backend = released.invoke("logs", "--env", NAME, "--service", "backend", "--tail", "all").text
    assert request in backend
