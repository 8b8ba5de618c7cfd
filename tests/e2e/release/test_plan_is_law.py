"""A plan says what will be done and what is not as it was; what it says is what then happens."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from docker.models.containers import Container
from site_copy import NAME, Site

from slipway.report import Result

LAST = "services/backend/src/slipway_backend/__init__.py"


def plan(site: Site) -> dict[str, Any]:
    """What `invoke release --plan --json` says."""
    answer = site.invoke("release", "--env", NAME, "--plan", "--json")
    assert answer.exit_code == 0, answer.text
    found = json.loads(answer.text)
    assert isinstance(found, dict)
    return found


def drift(site: Site) -> dict[tuple[str, str], tuple[str, str]]:
    """What `status` says is not as released: what and attribute -> before and after."""
    return {
        (each["subject"], each["attribute"]): (each["before"], each["after"])
        for each in site.status()["drift"]
    }


def named(site: Site, service: str, number: int = 1) -> Container:
    """A container of the generation that serves."""
    generation = site.status()["generation"]
    return site.engine.containers.get(f"slipway-{NAME}-g{generation}-{service}-{number}")


def docker(*words: str) -> None:
    """What somebody types at night."""
    subprocess.run(("docker", *words), check=True, capture_output=True)


def images(site: Site) -> set[str]:
    return {each.id or "" for each in site.engine.images.list()}


def change(site: Site) -> None:
    """Edit a line; never the same twice, because the registry keeps what was built."""
    path = site.root / LAST
    path.write_text(path.read_text() + f"\nPLANNED = {uuid.uuid4().hex!r}\n")


def test_as_released_nothing_has_drifted_and_nothing_is_to_be_done(
    released: Site, figures: list[Result]
) -> None:
    assert drift(released) == {}
    began = time.monotonic()
    answer = released.invoke("release", "--env", NAME)
    figures.append(Result("release with nothing to do", round(time.monotonic() - began, 1), "s"))
    assert answer.exit_code == 0
    assert "Nothing to do" in answer.text


def test_a_plan_builds_nothing_and_what_it_says_is_what_is_done(
    released: Site, figures: list[Result]
) -> None:
    change(released)
    before = released.containers(), images(released)
    began = time.monotonic()
    planned = plan(released)
    figures.append(Result("plan of a one-line change", round(time.monotonic() - began, 1), "s"))
    assert (released.containers(), images(released)) == before
    (backend,) = (each for each in planned["images"] if each["build"])
    assert backend["name"] == "backend"
    assert planned["migrations"] == {"known": True, "now": [], "later": []}
    other = released.invoke("release", "--env", NAME, "--expect", "0" * 12)
    assert other.exit_code == 2
    assert (released.containers(), images(released)) == before

    answer = released.invoke("release", "--env", NAME, "--expect", planned["hash"])
    assert answer.exit_code == 0, answer.text
    history = released.invoke("history", "--env", NAME, "--json", "--last", "1")
    (line,) = json.loads(history.text)
    assert line["plan"] == planned["hash"]
    assert line["steps"] == [
        f"{step['kind']:<9} {step['subject']:<32} {step['reason']}".rstrip()
        for step in planned["steps"]
    ]
    assert line["images"]["backend"] != backend["before"]
    whole = released.invoke("history.verify", "--env", NAME)
    assert whole.exit_code == 0, whole.text
    again = released.invoke("release", "--env", NAME, "--expect", planned["hash"])
    assert again.exit_code == 0
    assert "Nothing to do" in again.text


def test_an_image_that_the_engine_lost_is_counted_in_bytes(released: Site) -> None:
    """The registry has it still; only its own layers are missing, the others are of its like."""
    change(released)
    assert released.invoke("build", "--env", NAME).exit_code == 0
    (backend,) = (each for each in plan(released)["images"] if each["name"] == "backend")
    assert plan(released)["transfer"] == {"bytes": 0, "not_known": []}
    docker("image", "rm", "--force", backend["after"])
    tag = backend["identity"].removeprefix("inputs ")
    repository = backend["after"].partition("@")[0]
    subprocess.run(("docker", "image", "rm", "--force", f"{repository}:{tag}"), check=False)
    assert 0 < plan(released)["transfer"]["bytes"] < 20 << 20


CHANGES: dict[str, tuple[str, Callable[[Site], None], dict[str, str]]] = {
    "limits and restart policy": (
        "backend",
        lambda site: docker(
            *("update", "--memory=512m", "--memory-swap=-1", "--cpus=1.5", "--pids-limit=99"),
            *("--restart=no", named(site, "backend").name or ""),
        ),
        {"memory": "512 MiB", "cpus": "1.5", "processes": "99", "restart": "no"},
    ),
    "another network": (
        "backend",
        lambda site: docker("network", "connect", "bridge", named(site, "backend").name or ""),
        {"network bridge": "joined"},
    ),
    "stopped": (
        "worker",
        lambda site: named(site, "worker").stop(),
        {"state": "exited"},
    ),
}


@pytest.mark.parametrize(("service", "by_hand", "expected"), CHANGES.values(), ids=CHANGES)
def test_what_is_changed_in_place_is_named(
    released: Site, service: str, by_hand: Callable[[Site], None], expected: dict[str, str]
) -> None:
    name = named(released, service).name or ""
    by_hand(released)
    found = drift(released)
    assert {
        attribute: after for (subject, attribute), (_, after) in found.items() if subject == name
    }.items() >= expected.items()


def test_a_name_is_named(released: Site) -> None:
    container = named(released, "backend", 2)
    before = container.name or ""
    container.rename("mine")
    try:
        assert drift(released)["mine", "name"] == (before, "mine")
    finally:
        container.rename(before)


def test_a_network_left_takes_the_name_that_the_edge_asks_for(released: Site) -> None:
    container = named(released, "backend", 2)
    network = f"slipway-{NAME}-edge-app"
    docker("network", "disconnect", network, container.name or "")
    docker("network", "connect", network, container.name or "")
    found = drift(released)
    generation = released.status()["generation"]
    assert found[container.name or "", f"alias backend-g{generation}"] == (network, "nothing")


def test_a_stranger_beside_the_database_is_named(released: Site) -> None:
    network = f"slipway-{NAME}-app-data"
    image = named(released, "backend").attrs["Image"]
    stranger = released.engine.containers.run(
        image, ["-c", "read x"], entrypoint="sh", detach=True, stdin_open=True, network=network
    )
    try:
        assert drift(released)[network, "container"] == ("nothing", stranger.name)
    finally:
        stranger.remove(force=True)


def test_a_container_made_anew_by_hand_is_named_in_all_its_attributes(released: Site) -> None:
    worker = named(released, "worker")
    name, labels = worker.name or "", worker.labels
    image = next(
        each["image"] for each in released.status()["containers"] if each["service"] == "edge"
    )
    worker.remove(force=True)
    released.engine.containers.create(
        image,
        ["sleep", "9"],
        name=name,
        labels=labels,
        entrypoint=["sh"],
        environment={"LOG_LEVEL": "debug", "LLM_API_KEY": "sk-1"},
        user="0:0",
        cap_add=["NET_ADMIN"],
        ports={"8000/tcp": None},
        privileged=False,
        read_only=False,
        volumes={"/etc": {"bind": "/host", "mode": "ro"}},
        network="bridge",
    )
    found = {
        attribute: values for (subject, attribute), values in drift(released).items()
        if subject == name
    }  # fmt: skip
    assert found["image"][1] == image
    assert found["command"] == ("worker", "sleep 9")
    assert found["entrypoint"][1] == "sh"
    assert found["environment LOG_LEVEL"] == ("info", "debug")
    assert found["environment LLM_API_KEY"] == ("nothing", "(hidden)")
    assert found["environment GENERATION"][1] == "nothing"
    assert found["user"] == ("10001:10001", "0:0")
    assert found["capabilities added"] == ("none", "NET_ADMIN")
    assert found["capabilities dropped"] == ("ALL", "none")
    assert found["security options"] == ("no-new-privileges:true", "none")
    assert found["read-only"] == ("yes", "no")
    assert found["port 8000/tcp"][0] == "nothing"
    assert found["mount /host"] == ("nothing", "bind /etc (read-only)")
    assert found["mount /var/lib/slipway/files"][1] == "nothing"
    assert found["network bridge"] == ("nothing", "joined")
    assert found[f"network slipway-{NAME}-app-data"] == ("joined", "nothing")
    assert found["state"] == ("running", "created")
    assert found["health check"][1] != found["health check"][0]
    assert found["memory"] == ("2304 MiB", "no limit")
    missing = named(released, "backend", 2)
    missing.remove(force=True)
    generation = released.status()["generation"]
    assert drift(released)[f"slipway-{NAME}-g{generation} backend", "containers"] == ("2", "1")


def test_the_plan_shows_it_and_the_next_release_makes_it_right(released: Site) -> None:
    assert plan(released)["drift"] != []
    answer = released.invoke("release", "--env", NAME)
    assert answer.exit_code == 0, answer.text
    assert drift(released) == {}
    again = released.invoke("release", "--env", NAME)
    assert "Nothing to do" in again.text


def test_a_drifted_platform_is_named_too(released: Site) -> None:
    name = f"slipway-{NAME}-platform-edge-1"
    docker("update", "--memory=300m", "--memory-swap=-1", name)
    try:
        assert drift(released) == {(name, "memory"): ("256 MiB", "300 MiB")}
        planned = plan(released)
        kinds = [each["kind"] for each in planned["steps"]]
        assert kinds == ["secret", "beside", "hand-over", "leave"]
        assert planned["gaps"] == []
    finally:
        docker("update", "--memory=256m", "--memory-swap=-1", name)
