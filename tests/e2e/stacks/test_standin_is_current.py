"""The stand-in engine of the unit tests answers what the real Compose and buildx answer.

When one of these fails: `python tests/unit/slipway/standin/resolve.py`.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from site_copy import ROOT

from slipway.commands import bake, compose
from slipway.config.layout import checkout
from slipway.plans import settings
from slipway.run import run

STANDIN = ROOT / "tests" / "unit" / "slipway" / "standin"
VARIABLES = {
    "SLIPWAY_ENVIRONMENT": "dev",
    "SLIPWAY_GENERATION": "7",
    "SLIPWAY_LOG_LEVEL": "info",
    "SLIPWAY_RELEASE": "first",
    "SLIPWAY_MONITORING": "minimal",
    "SLIPWAY_ADDRESS": "127.0.0.1",
    "SLIPWAY_HTTPS_PORT": "8443",
    "SLIPWAY_HTTP_PORT": "8080",
    "SLIPWAY_BACKEND_REPLICAS": "2",
    "SLIPWAY_WORKER_REPLICAS": "1",
    "SLIPWAY_DATABASE_MEMBERS": "1",
    "SLIPWAY_SYNCHRONOUS": "on",
    "SLIPWAY_BACKUPS": "0",
    "SLIPWAY_BACKUP_POLICY": "",
    "SLIPWAY_WATCHERS": "0",
    "SLIPWAY_ALERTS": "told",
    "SLIPWAY_LOGS": "0",
    "SLIPWAY_LOGS_DAYS": "7",
    "SLIPWAY_LOGS_BYTES": "1000",
    "SLIPWAY_LOGS_IMAGE": "logs@sha256:8",
    "SLIPWAY_DOMAIN": "localhost",
    "SLIPWAY_BACKEND_IMAGE": "backend@sha256:1",
    "SLIPWAY_DOOR_IMAGE": "door@sha256:4",
    "SLIPWAY_EDGE_IMAGE": "edge@sha256:2",
    "SLIPWAY_BACKUP_IMAGE": "backup@sha256:6",
    "SLIPWAY_MONITORING_IMAGE": "monitoring@sha256:7",
    "SLIPWAY_ETCD_IMAGE": "etcd@sha256:5",
    "SLIPWAY_POSTGRES_IMAGE": "postgres@sha256:3",
}
# A site's own addresses are arguments of a build, and are not in the stand-in's answer.
NO_SITE = dict.fromkeys(("UV_DEFAULT_INDEX", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"), "")


def shape(project: Any) -> Any:
    """What decides how a release goes; the rest may differ between versions of Compose."""
    services = {
        name: {
            "image": each["image"],
            "labels": each["labels"],
            "scale": each.get("scale", 1),
            "networks": sorted(each["networks"]),
            "volumes": [(volume["source"], volume["target"]) for volume in each.get("volumes", ())],
        }
        for name, each in project["services"].items()
    }
    outside = {
        kind: {name: each["name"] for name, each in project[kind].items()}
        for kind in ("networks", "volumes")
    }
    return services, outside


def test_the_resolved_project_is_what_compose_makes_of_the_files() -> None:
    printed = run(compose.config(checkout().stack_files("dev"), "resolved"), env=VARIABLES)
    template = string.Template((STANDIN / "resolved.template").read_text())
    assert shape(json.loads(template.substitute(VARIABLES))) == shape(json.loads(printed.output))


def test_the_images_are_those_that_bake_makes_of_its_file() -> None:
    printed = run(bake.describe(ROOT / "docker-bake.hcl", ()), cwd=ROOT, env=NO_SITE)
    assert json.loads((STANDIN / "bake.json").read_text()) == json.loads(printed.output)


def test_dollar_signs_are_doubled_and_what_is_not_set_is_null(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services: {one: {image: one, environment: {GREETING: costs $$5, SLIPWAY_NOT_SET: }}}"
    )
    project = json.loads(run(compose.config([file], "dollars")).output)
    service = project["services"]["one"]
    assert service["environment"] == {"GREETING": "costs $$5", "SLIPWAY_NOT_SET": None}
    told = settings.described(service, project)
    assert {key: value for key, value in told.items() if key.startswith("environment ")} == {
        "environment GREETING": "costs $5"
    }
