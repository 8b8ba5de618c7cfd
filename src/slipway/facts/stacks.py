"""The two stacks of an environment, as Compose resolves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slipway.commands import compose
from slipway.config import monitoring, names
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import CommandFailed, Refused
from slipway.run import run

#: What stands for the generation's number in a project that is not one generation's yet.
ANY_GENERATION = 4000000007
#: What stands for the name by which the database remembers a migration.
ANY_RELEASE = "any-release-4000000007"


def resolve(
    layout: Layout,
    name: str,
    environment: Environment,
    *,
    images: Mapping[str, str],
    generation: int = ANY_GENERATION,
    release: str = ANY_RELEASE,
) -> dict[str, Any]:
    """The merged project of environment `name`, with every variable filled in.

    `images` maps an image name to the reference to run; `release` is what the database remembers
    a migration by. Raises Refused, with Compose's own
    sentence, when a file is wrong.
    """
    files = layout.stack_files(name)
    variables = {
        "SLIPWAY_ENVIRONMENT": name,
        "SLIPWAY_GENERATION": str(generation),
        "SLIPWAY_RELEASE": release,
        "SLIPWAY_LOG_LEVEL": environment.log_level,
        "SLIPWAY_MONITORING": (
            monitoring.UNWATCHED if environment.monitoring == "none" else environment.monitoring
        ),
        "SLIPWAY_WATCHERS": "0" if environment.monitoring == "none" else "1",
        "SLIPWAY_ALERTS": environment.alerts.told,
        "SLIPWAY_LOGS": "1" if environment.logs else "0",
        "SLIPWAY_LOGS_DAYS": str(environment.logs.days if environment.logs else 1),
        "SLIPWAY_LOGS_BYTES": str(environment.logs.bytes if environment.logs else 1),
        "SLIPWAY_DOMAIN": environment.domain,
        "SLIPWAY_ADDRESS": environment.ports.address,
        "SLIPWAY_HTTPS_PORT": str(environment.ports.https),
        "SLIPWAY_HTTP_PORT": str(environment.ports.http),
        "SLIPWAY_BACKEND_REPLICAS": str(environment.replicas.backend),
        "SLIPWAY_WORKER_REPLICAS": str(environment.replicas.worker),
        "SLIPWAY_DATABASE_MEMBERS": str(environment.database.replicas + 1),
        "SLIPWAY_SYNCHRONOUS": "on" if environment.database.synchronous else "off",
        "SLIPWAY_BACKUPS": "1" if environment.backup.on else "0",
        "SLIPWAY_BACKUP_POLICY": environment.backup.told,
        **{f"SLIPWAY_{image.upper()}_IMAGE": reference for image, reference in images.items()},
    }
    try:
        printed = run(compose.config(files, names.prefix(name) + "resolved"), env=variables)
    except CommandFailed as error:
        shown = ", ".join(layout.shown(file) for file in files)
        raise Refused(
            f"{shown}: {' '.join(error.last_lines)}",
            next_command=f"edit {layout.shown(layout.overlay(name))}",
        ) from error
    resolved = json.loads(printed.output)
    assert isinstance(resolved, dict)
    return resolved


def numbered(resolved: Mapping[str, Any], generation: int, release: str) -> dict[str, Any]:
    """A project that was resolved for any generation and release, as that of one."""
    text = json.dumps(resolved).replace(ANY_RELEASE, release)
    text = text.replace(str(ANY_GENERATION), str(generation))
    project = json.loads(text)
    assert isinstance(project, dict)
    return project
