"""What every way of releasing shares: compare, apply under the lease, write the outcome."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import docker

from slipway import console, edge, hooks, state
from slipway.apply import Release
from slipway.build import Images
from slipway.config import certificates, names, secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import stacks
from slipway.facts import state as state_facts
from slipway.facts.engine import EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import drift
from slipway.plans import release as plans
from slipway.plans import stacks as stack_plans
from slipway.plans.preview import Preview
from slipway.plans.release import Have, Plan, Want


@dataclass(frozen=True)
class Wanted:
    """What is to be released where: an environment by its name and block, images and version."""

    layout: Layout
    name: str
    environment: Environment
    images: Images
    version: str


def compare(wanted: Wanted, engine: docker.DockerClient) -> tuple[Want, Have]:
    """Read what runs, and resolve what should."""
    layout, name, environment, images = (
        *(wanted.layout, wanted.name),
        *(wanted.environment, wanted.images),
    )
    running = engine_facts.read(engine, name)
    # Each of these waits for a process of its own, the edge's for as long as the others together.
    with ThreadPoolExecutor() as beside:
        asked = beside.submit(edge.active, name, running)
        # The number is left out of the hashes, so any will do.
        resolving = beside.submit(
            stacks.resolve, layout, name, environment, images=images.references, generation=1
        )
        known = _state(name, environment, engine, images, running)
        resolved, active = resolving.result(), asked.result()
    if known.altered is not None:
        console.warn(f"line {known.altered} of the ledger of {name} was altered")
    platform, app = (
        stack_plans.cut(
            resolved,
            stack,
            project="",
            environment=name,
            release=wanted.version,
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
        content=_content(
            resolved, images, environment, known, hooks.read(layout, name, environment)
        ),
    )
    return want, Have(running, known, active, drift.drift(name, running, known, active) or ())


def refuse_outdated(planned: Plan, found: tuple[Want, Have]) -> None:
    """Refuse when anything that the plan rests on changed between it and the lease."""
    now = plans.plan(*found)
    if (planned.after_ground, planned.content) != (now.after_ground, now.content):
        raise Refused(
            f"{planned.environment} was changed by another release while this one was planned",
            next_command=f"invoke release --env {planned.environment}",
        )


def carry_out(release: Release, began: float, agreed: Preview, own: hooks.Hooks) -> None:
    """Carry the plan out and write the outcome, good or bad, into the ledger."""
    told = agreed.plain()
    entry: dict[str, Any] = {
        "kind": "release",
        "source": release.environment.source,
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
        outcome = {"SLIPWAY_RESULT": "failed", "SLIPWAY_REASON": entry["reason"]}
        entry |= _hooked(own, told, outcome, seconds)
        try:
            release.state.commit(**entry, result="failed", seconds=seconds, steps=_steps(release))
        except SlipwayError as unwritten:
            console.warn(f"the failure could not be written into the ledger: {unwritten.message}")
        raise
    seconds = round(time.monotonic() - began, 1)
    entry |= _hooked(own, told, {"SLIPWAY_RESULT": "done"}, seconds)
    release.state.commit(
        **entry,
        result="done",
        seconds=seconds,
        phases={name: round(taken, 1) for name, taken in release.timings.items()},
        steps=_steps(release),
    )


def _hooked(
    own: hooks.Hooks, told: Mapping[str, Any], outcome: Mapping[str, str], seconds: float
) -> dict[str, Any]:
    ran = own.after("release", told, {**outcome, "SLIPWAY_SECONDS": f"{seconds:g}"})
    return {"hooks": ran} if ran else {}


def _steps(release: Release) -> list[str]:
    """What was done, in the words of the plan."""
    return [str(step) for step in release.done]


def toolbox(environment: Environment, engine: docker.DockerClient, images: Images) -> str:
    """The toolbox to use before a build: the last release left its own where none is built yet."""
    if "toolbox" in images.build:
        return engine_facts.toolbox(engine, environment.registry)
    return images.references["toolbox"]


def _state(
    name: str,
    environment: Environment,
    engine: docker.DockerClient,
    images: Images,
    running: EngineFacts,
) -> StateFacts:
    volume = names.state_volume(name)
    if volume not in running.volumes:
        return StateFacts()
    return state_facts.read(toolbox(environment, engine, images), volume)


def _content(
    resolved: Mapping[str, Any],
    images: Images,
    environment: Environment,
    known: StateFacts,
    own: hooks.Hooks,
) -> str:
    """A hash of everything that a release puts there, the same before and after a build."""
    text = json.dumps(
        [resolved, environment.model_dump(), dict(known.secrets), dict(own.there)], sort_keys=True
    )
    for image, reference in images.references.items():
        text = text.replace(
            json.dumps(reference), json.dumps(f"{image} {images.identities[image]}")
        )
    # The toolbox is in no Compose file.
    text += images.identities.get("toolbox", "")
    return hashlib.sha256(text.encode()).hexdigest()


def _certificate_due(environment: Environment, known: StateFacts) -> bool:
    """Whether a certificate that Slipway made must be made again."""
    if environment.secrets != "generated" or known.certificate is None:
        return False
    return certificates.due(known.certificate, environment.domain, datetime.now(UTC))
