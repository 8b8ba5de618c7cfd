"""The stand-in engine answers what the real programs would, and refuses what it does not know."""

from __future__ import annotations

import json
import os
import shutil
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
from standin_world import TREE, World

from slipway.commands import bake, compose
from slipway.config.layout import checkout

STANDIN = Path(__file__).parents[1] / "standin"
VARIABLES = {
    "SLIPWAY_ENVIRONMENT": "dev",
    "SLIPWAY_GENERATION": "7",
    "SLIPWAY_LOG_LEVEL": "info",
    "SLIPWAY_ADDRESS": "127.0.0.1",
    "SLIPWAY_HTTPS_PORT": "8443",
    "SLIPWAY_HTTP_PORT": "8080",
    "SLIPWAY_BACKEND_REPLICAS": "2",
    "SLIPWAY_WORKER_REPLICAS": "1",
    "SLIPWAY_BACKEND_IMAGE": "backend@sha256:1",
    "SLIPWAY_EDGE_IMAGE": "edge@sha256:2",
    "SLIPWAY_POSTGRES_IMAGE": "postgres@sha256:3",
}


def printed(argv: tuple[str, ...], plugin: str) -> Any:
    """What the real client prints without an engine; skips where the plugin is not installed."""
    env = os.environ | VARIABLES | {"DOCKER_HOST": "unix:///nowhere.sock"}
    there = (
        shutil.which("docker")
        and not subprocess.run(
            ("docker", plugin, "version"), env=env, capture_output=True, check=False
        ).returncode
    )
    if not there:
        pytest.skip(f"docker {plugin} is not installed")
    done = subprocess.run(argv, env=env, cwd=TREE, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def shape(project: Any) -> Any:
    """What decides how a release goes; the rest may differ between versions of Compose."""
    services = {
        name: {
            "image": each["image"],
            "labels": each["labels"],
            "scale": each.get("scale", 1),
            "networks": sorted(each["networks"]),
            "volumes": [(volume["source"], volume["target"]) for volume in each["volumes"]],
        }
        for name, each in project["services"].items()
    }
    outside = {
        kind: {name: each["name"] for name, each in project[kind].items()}
        for kind in ("networks", "volumes")
    }
    return services, outside


def test_the_resolved_project_is_what_compose_makes_of_the_files() -> None:
    """When this fails: python tests/unit/slipway/standin/resolve.py."""
    real = printed(compose.config(checkout().stack_files("dev"), "resolved"), "compose")
    template = string.Template((STANDIN / "resolved.template").read_text())
    assert shape(json.loads(template.substitute(VARIABLES))) == shape(real)


def test_the_images_are_those_that_bake_makes_of_its_file() -> None:
    """When this fails: python tests/unit/slipway/standin/resolve.py."""
    real = printed(bake.describe(TREE / "docker-bake.hcl", ()), "buildx")
    assert json.loads((STANDIN / "bake.json").read_text()) == real


@pytest.mark.parametrize(
    "argv",
    [
        ("system", "prune", "--force"),
        ("compose", "--project-name", "slipway-dev-g1", "kill"),
        ("run", "--rm", "--interactive", "--privileged", "image", "read"),
        ("run", "--rm", "--detach", "--init", "--name", "a", "--privileged", "image", "hold", "1"),
    ],
)
def test_an_unknown_command_line_is_refused_and_remembered(
    released: World, argv: tuple[str, ...]
) -> None:
    done = subprocess.run(("docker", *argv), capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "the stand-in does not know" in done.stderr
    assert released.standin.unknown == [" ".join(argv)]
    released.standin.unknown.clear()


def test_another_process_reaches_it_too(released: World) -> None:
    """So that whole programs can be killed in the middle of a release."""
    edge = released.standin.project("slipway-dev-platform")[1]["Id"]
    done = subprocess.run(
        ("docker", "exec", edge, "slipway-edge", "status"), capture_output=True, check=True
    )
    assert json.loads(done.stdout)["generation"] == 1
