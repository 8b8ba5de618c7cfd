"""Whatever somebody changes by hand is found and named; the next release makes it right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from standin_world import World

Container = dict[str, Any]


def backend(world: World) -> Container:
    return world.standin.project("slipway-dev-g1")[0]


def found(world: World) -> dict[str, tuple[str, str]]:
    """What `status` says drifted: attribute -> released, found."""
    report = json.loads(world.invoke("status", "--env", "dev", "--json").output)
    return {each["attribute"]: (each["before"], each["after"]) for each in report["drift"]}


def environment(container: Container, *entries: str) -> None:
    container["Config"]["Env"] += entries


CHANGES: dict[str, tuple[Callable[[Container], object], dict[str, tuple[str, str]]]] = {
    "image": (
        lambda each: each["Config"].update(Image="somewhere/else:latest"),
        {"image": ("...", "somewhere/else:latest")},
    ),
    "environment": (
        lambda each: environment(each, "LOG_LEVEL=debug", "LLM_API_KEY=sk-1", "PROXY=http://u:p@h"),
        {
            "environment LOG_LEVEL": ("info", "debug"),
            "environment LLM_API_KEY": ("nothing", "(hidden)"),
            "environment PROXY": ("nothing", "http://u:(hidden)@h"),
        },
    ),
    "command": (
        lambda each: each["Config"].update(Cmd=["serve", "--reload"]),
        {"command": ("serve", "serve --reload")},
    ),
    "entry point": (
        lambda each: each["Config"].update(Entrypoint=["sh"]),
        {"entrypoint": ("slipway", "sh")},
    ),
    "user": (
        lambda each: each["Config"].update(User="0:0"),
        {"user": ("10001:10001", "0:0")},
    ),
    "limits": (
        lambda each: each["HostConfig"].update(Memory=1 << 30, NanoCpus=5 * 10**8, PidsLimit=0),
        {
            "memory": ("768 MiB", "1024 MiB"),
            "cpus": ("2", "0.5"),
            "processes": ("256", "no limit"),
        },
    ),
    "mounts": (
        lambda each: each["Mounts"][1].update(RW=True),
        {
            "mount /run/secrets": (
                "volume slipway-dev-secrets-backend (read-only)",
                "volume slipway-dev-secrets-backend (writable)",
            )
        },
    ),
    "another mount": (
        lambda each: each["Mounts"].append(
            {"Type": "bind", "Source": "/etc", "Destination": "/host", "RW": True}
        ),
        {"mount /host": ("nothing", "bind /etc (writable)")},
    ),
    "networks": (
        lambda each: each["NetworkSettings"]["Networks"].update(bridge={}),
        {"network bridge": ("nothing", "joined")},
    ),
    "the name that the edge asks for": (
        lambda each: each["NetworkSettings"]["Networks"]["slipway-dev-edge-app"].update(Aliases=[]),
        {"alias backend-g1": ("slipway-dev-edge-app", "nothing")},
    ),
    "ports": (
        lambda each: each["HostConfig"].update(
            PortBindings={"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}]}  # noqa: S104
        ),
        {"port 8000/tcp": ("nothing", "0.0.0.0:8000")},
    ),
    "a port that the engine chose": (
        lambda each: each["HostConfig"].update(
            PortBindings={"8000/tcp": [{"HostIp": "", "HostPort": ""}]}
        ),
        {"port 8000/tcp": ("nothing", ":")},
    ),
    "capabilities": (
        lambda each: each["HostConfig"].update(CapAdd=["NET_ADMIN"], CapDrop=[]),
        {
            "capabilities added": ("none", "NET_ADMIN"),
            "capabilities dropped": ("ALL", "none"),
        },
    ),
    "read-only": (
        lambda each: each["HostConfig"].update(ReadonlyRootfs=False, Privileged=True),
        {"read-only": ("yes", "no"), "privileged": ("no", "yes")},
    ),
    "restart policy": (
        lambda each: each["HostConfig"].update(
            RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3}
        ),
        {"restart": ("unless-stopped", "on-failure:3")},
    ),
    "name": (
        lambda each: each.update(Name="/mine"),
        {"name": ("slipway-dev-g1-backend-1", "mine")},
    ),
    "state": (
        lambda each: each["State"].update(Status="paused"),
        {"state": ("running", "paused")},
    ),
    "log driver": (
        lambda each: each["HostConfig"].update(LogConfig={"Type": "none", "Config": {}}),
        {"log driver": ("json-file max-file=5 max-size=10m tag={{.Name}}", "none")},
    ),
    "health check": (
        lambda each: each["Config"].update(Healthcheck={"Test": ["NONE"]}),
        {"health check": ("...", "none")},
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_each_attribute_of_a_container_is_named(
    released: World,
    change: Callable[[Container], object],
    expected: dict[str, tuple[str, str]],
) -> None:
    change(backend(released))
    named = found(released)
    assert {key: after for key, (_, after) in named.items()} == {
        key: after for key, (_, after) in expected.items()
    }
    for key, (before, _) in expected.items():
        assert before in ("...", named[key][0])


def test_a_container_that_is_missing_and_one_too_many_are_named(released: World) -> None:
    standin = released.standin
    del standin.containers[standin.project("slipway-dev-g1")[-1]["Id"]]
    stray = json.loads(json.dumps(backend(released)))
    stray["Config"]["Labels"]["com.docker.compose.service"] = "shell"
    standin.containers["stray"] = stray | {"Id": "stray", "Name": "/slipway-dev-g1-shell-1"}
    told = released.invoke("status", "--env", "dev").output
    assert "drift: 2 attributes are not as released: slipway-dev-g1 worker (containers)" in told
    assert "slipway-dev-g1-shell-1 (container)" in told


def test_networks_and_volumes_are_named(released: World) -> None:
    standin = released.standin
    standin.networks["slipway-dev-app-data"]["Internal"] = False
    standin.volumes.pop("slipway-dev-edge")
    assert found(released) == {"way out": ("no", "yes"), "volume": ("there", "nothing")}


def test_a_stranger_on_a_network_without_a_way_out_is_named(released: World) -> None:
    stranger = json.loads(json.dumps(backend(released)))
    stranger["Config"]["Labels"] = {"com.docker.compose.project": "shop"}
    released.standin.containers["x"] = stranger | {"Id": "x", "Name": "/psql"}
    report = json.loads(released.invoke("status", "--env", "dev", "--json").output)
    assert {each["subject"]: each["after"] for each in report["drift"]} == {
        "slipway-dev-edge-app": "psql",
        "slipway-dev-app-data": "psql",
    }


def test_an_environment_whose_configuration_was_not_kept_says_so(released: World) -> None:
    for path in released.standin.volume("slipway-dev-state").glob("rendered/g*/app.json"):
        path.unlink()
    ended = released.invoke("status", "--env", "dev")
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "drift: not known" in ended.output


def test_the_next_release_replaces_what_drifted_and_then_nothing_is_left(released: World) -> None:
    backend(released)["HostConfig"]["Memory"] = 1 << 30
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "generation 2                     not as released: backend: memory" in ended.output
    assert released.generations() == {"slipway-dev-g2"}
    assert found(released) == {}
    assert "Nothing to do" in released.release().output


def test_dollar_signs_and_a_variable_that_nobody_set_are_no_drift(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose prints each dollar sign doubled, so the template has it four times."""
    template = released.standin.template
    for before, after in (
        ('"DRAIN_SECONDS"', '"GREETING": "costs $$$$5", "PASSED": null, "DRAIN_SECONDS"'),
        ('"serve"\n   ],\n   "entrypoint"', '"serve", "--for=$$$$5"\n   ],\n   "entrypoint"'),
        ('"health",\n     "serve"', '"health",\n     "$$$$serve"'),
    ):
        assert before in template
        template = template.replace(before, after, 1)
    monkeypatch.setattr(released.standin, "template", template)
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    container = released.standin.project("slipway-dev-g2")[0]["Config"]
    assert "GREETING=costs $5" in container["Env"]
    assert container["Cmd"] == ["serve", "--for=$5"]
    environment(released.standin.project("slipway-dev-g2")[0], "PASSED")
    assert found(released) == {}
    assert "Nothing to do" in released.release().output
