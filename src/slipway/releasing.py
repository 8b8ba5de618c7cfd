"""What every way of releasing shares: compare, apply under the lease, write the outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import docker

from slipway import console, edge, state
from slipway.apply import Release
from slipway.config import certificates, names, secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import stacks
from slipway.facts import state as state_facts
from slipway.plans import drift
from slipway.plans import release as plans
from slipway.plans import stacks as stack_plans
from slipway.plans.release import Have, Plan, Want


def compare(
    layout: Layout,
    name: str,
    environment: Environment,
    engine: docker.DockerClient,
    images: Mapping[str, str],
    version: str,
) -> tuple[Want, Have]:
    """Read what runs, and resolve what should."""
    running = engine_facts.read(engine, name)
    volume = names.state_volume(name)
    known = (
        state_facts.read(images["toolbox"], volume)
        if volume in running.volumes
        else state_facts.StateFacts()
    )
    if known.altered is not None:
        console.warn(f"line {known.altered} of the ledger of {name} was altered")
    # The number is left out of the hashes, so any will do.
    resolved = stacks.resolve(layout, name, environment, images=images, generation=1)
    platform, app = (
        stack_plans.cut(
            resolved,
            stack,
            project="",
            environment=name,
            release=version,
            fingerprints=known.secrets,
            generation=None if stack == "platform" else 1,
        )
        for stack in ("platform", "app")
    )
    want = Want(
        environment=name,
        platform=platform,
        app=app,
        secrets=tuple(secret.name for secret in secrets.SECRETS),
        secrets_generated=environment.secrets == "generated",
        certificate_due=_certificate_due(environment, known),
        soak_seconds=environment.soak_seconds,
    )
    active = edge.active(name, running)
    return want, Have(running, known, active, drift.drift(name, running, known, active) or ())


def refuse_outdated(planned: Plan, found: tuple[Want, Have]) -> None:
    """Refuse when another release was done between the plan and the lease."""
    if planned.after_ground != plans.plan(*found).after_ground:
        raise Refused(
            f"{planned.environment} was changed by another release while this one was planned",
            next_command=f"invoke release --env {planned.environment}",
        )


def carry_out(release: Release, began: float) -> None:
    """Carry the plan out and write the outcome, good or bad, into the ledger."""
    entry = {
        "generation": release.plan.generation,
        "version": release.version,
        "images": dict(release.images),
        "plan": release.plan.hash,
        "holder": state.holder(),
    }
    try:
        release.apply()
    except state.LeaseLost:
        raise
    except Exception as error:
        said = error.message if isinstance(error, SlipwayError) else str(error)
        entry["reason"] = said.splitlines()[0] if said else type(error).__name__
        entry["code"] = error.code if isinstance(error, SlipwayError) else ""
        seconds = round(time.monotonic() - began, 1)
        try:
            release.state.commit(**entry, result="failed", seconds=seconds)
        except SlipwayError as unwritten:
            console.warn(f"the failure could not be written into the ledger: {unwritten.message}")
        raise
    release.state.commit(
        **entry,
        result="done",
        seconds=round(time.monotonic() - began, 1),
        phases={name: round(seconds, 1) for name, seconds in release.timings.items()},
    )


def _certificate_due(environment: Environment, known: state_facts.StateFacts) -> bool:
    """Whether a certificate that Slipway made must be made again."""
    if environment.secrets != "generated" or known.certificate is None:
        return False
    return certificates.due(known.certificate, environment.domain, datetime.now(UTC))
