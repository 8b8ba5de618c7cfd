"""A dev environment as its first release left it, of which a test wants something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slipway.config import names, secrets
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans.release import Have, Want
from slipway.plans.stacks import Stack

DEV = "dev"
PLATFORM = ("edge", "edge-b", "door", "postgres")


def stack(*services: str, **hashes: str) -> Stack:
    """A stack of these services, each with a hash of the first version, or the one given."""
    known = {name: f"{name}-1" for name in services} | hashes
    return Stack("", {"services": {name: {} for name in known}}, known)


def container(project: str, service: str, number: int = 1, **changes: Any) -> Container:
    """A container that is as the first version of its stack wants it, but for the changes."""
    made = Container(
        id=f"{project}-{service}-{number}",
        name=f"{project}-{service}-{number}",
        project=project,
        service=service,
        image="image",
        config_hash=f"{service}-1",
        release="3f2a",
        state="running",
        health="healthy",
        exit_code=0,
        out_of_memory=False,
        restarts=0,
        started="",
        memory_limit=0,
        probes=(),
    )
    return replace(made, **changes)


WANT = Want(
    environment=DEV,
    platform=stack(*PLATFORM),
    app=stack("backend"),
    secrets=tuple(secret.name for secret in secrets.SECRETS),
    secrets_generated=True,
    certificate_due=False,
    soak_seconds=0,
)
RUNNING = Have(
    engine=EngineFacts(
        containers=(
            *(
                container(names.platform_project(DEV), name)
                for name in ("edge", "door", "postgres")
            ),
            container(names.generation_project(DEV, 1), "backend"),
        ),
        networks=frozenset(names.network(DEV, each) for each in names.NETWORKS),
        volumes=frozenset(names.volumes(DEV)),
    ),
    state=StateFacts(
        ledger=({"generation": 1, "result": "done", "version": "3f2a"},),
        secrets=dict.fromkeys(WANT.secrets, "1"),
        handed=dict.fromkeys(WANT.secrets, "1"),
    ),
    active=1,
    door="edge",
)
