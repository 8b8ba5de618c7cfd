"""What every way of releasing shares: compare, preview, apply under the lease, check after."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import docker

from slipway import build as builder
from slipway import console, edge, hooks, state
from slipway.apply import Release
from slipway.build import Images
from slipway.config import certificates, names, secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import migrations as migration_facts
from slipway.facts import stacks, transfer
from slipway.facts import state as state_facts
from slipway.facts.engine import EngineFacts
from slipway.facts.state import StateFacts
from slipway.facts.transfer import Known
from slipway.plans import changes, drift, migrations
from slipway.plans import estimate as estimates
from slipway.plans import release as plans
from slipway.plans import stacks as stack_plans
from slipway.plans.differences import Difference
from slipway.plans.migrations import Migrations
from slipway.plans.preview import Gap, Image, Preview
from slipway.plans.release import Have, Kind, Plan, Want


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
    known = _state(name, environment, engine, images, running)
    if known.altered is not None:
        console.warn(f"line {known.altered} of the ledger of {name} was altered")
    # The number is left out of the hashes, so any will do.
    resolved = stacks.resolve(layout, name, environment, images=images.references, generation=1)
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
    active = edge.active(name, running)
    return want, Have(running, known, active, drift.drift(name, running, known, active) or ())


def preview(
    wanted: Wanted, engine: docker.DockerClient, compared: tuple[Want, Have], plan: Plan
) -> Preview:
    """Everything that a person reads before the plan is carried out.

    Raises Refused when a schema change would take from the release that serves what it needs.
    """
    want, have = compared
    images, environment = wanted.images, wanted.environment
    known = transfer.read(engine, environment.registry, images.references)
    ledger = have.state.ledger
    settings = changes.changes(want.platform, want.app, have.state, have.active)
    building = [builder.phase(images.build)] if images.build else []
    phases = [*building, *(step.phase for step in plan.after_ground)]
    return Preview(
        plan=plan,
        url=environment.url,
        version=wanted.version,
        images=_images(images, have.state, known, settings),
        changes=tuple(
            each
            for each in settings
            # Told once per image, not once per service.
            if each.attribute != "image" or each.after not in images.references.values()
        ),
        secrets=tuple(
            Difference(secret, "fingerprint", have.state.handed.get(secret), now)
            for secret, now in sorted(have.state.secrets.items())
            if have.state.handed.get(secret) != now
        ),
        drift=have.drift,
        migrations=_migrations(wanted, engine, have, known),
        gaps=tuple(
            Gap(step.subject, *(estimates.last(step.phase, ledger) or (None, None)))
            for step in plan.of(Kind.PLATFORM)
            if step.recreate
        ),
        estimate=estimates.estimate(phases, ledger),
        hooks=hooks.read(wanted.layout, wanted.name, environment).of("release"),
    )


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
    # One that is not built yet cannot read; the last release left its own on the engine.
    toolbox = (
        engine_facts.toolbox(engine, environment.registry)
        if "toolbox" in images.build
        else images.references["toolbox"]
    )
    return state_facts.read(toolbox, volume)


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


def _images(
    images: Images,
    known: StateFacts,
    there: Mapping[str, Known],
    settings: tuple[Difference, ...],
) -> tuple[Image, ...]:
    """Each image old and new; the old one is what the last configuration names."""
    last = known.committed or {}
    before: dict[str, str | None] = dict(last.get("images") or {})
    before |= {
        each.subject: each.before
        for each in settings
        if each.attribute == "image" and each.subject in images.references
    }
    return tuple(
        Image(
            name=name,
            before=before.get(name),
            after=reference,
            identity=images.identities[name],
            build=name in images.build,
            missing=None if name in images.build else there[name].missing,
        )
        for name, reference in sorted(images.references.items())
    )


def _migrations(
    wanted: Wanted, engine: docker.DockerClient, have: Have, known: Mapping[str, Known]
) -> Migrations:
    """What the schema of the new backend changes in the database as it is."""
    revisions = (
        migration_facts.of_checkout(wanted.layout.root)
        if "backend" in wanted.images.build
        else migration_facts.of_labels(known["backend"].labels)
    )
    running = have.engine.containers
    database = next((each.id for each in running if each.service == "postgres"), None)
    schema = (
        migration_facts.NEVER_MIGRATED
        if database is None
        else migration_facts.of_database(database)
    )
    found = migrations.due(revisions, schema, have.state.migrating_release)
    serving = next(
        (each.image for each in running if each.service == "backend" and each.serving), None
    )
    if serving is not None:
        labels = engine.images.get(serving).attrs["Config"].get("Labels") or {}
        migrations.refuse_early_contract(found, revisions, migration_facts.of_labels(labels))
    return found


def _certificate_due(environment: Environment, known: StateFacts) -> bool:
    """Whether a certificate that Slipway made must be made again."""
    if environment.secrets != "generated" or known.certificate is None:
        return False
    return certificates.due(known.certificate, environment.domain, datetime.now(UTC))
