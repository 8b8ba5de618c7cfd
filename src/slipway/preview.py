"""Gathering what a person reads before a plan is carried out; nothing is touched for it."""

from __future__ import annotations

from collections.abc import Mapping

import docker

from slipway import build as builder
from slipway import hooks, releasing
from slipway.build import Images
from slipway.config import logs, members, monitoring, names
from slipway.config.backup import SERVICE as BACKUP
from slipway.facts import migrations as migration_facts
from slipway.facts import transfer
from slipway.facts.state import StateFacts
from slipway.facts.transfer import Known
from slipway.plans import changes, migrations
from slipway.plans import estimate as estimates
from slipway.plans import stacks as stack_plans
from slipway.plans.differences import Difference
from slipway.plans.migrations import Migrations
from slipway.plans.preview import Gap, Image, Preview
from slipway.plans.release import Have, Plan, Want
from slipway.plans.steps import Kind
from slipway.releasing import Wanted


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
    platform = stack_plans.without(want.platform, names.other_edge(_shown(have, plan)))
    settings = changes.changes(platform, want.app, have.state, have.active)
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
        budgets=have.budgets,
        migrations=_migrations(wanted, engine, have, known),
        gaps=tuple(
            Gap(step.subject, *(estimates.last(step.phase, ledger) or (None, None)))
            for step in plan.of(Kind.PLATFORM)
            # The primary goes on while etcd is away, and no user waits for who keeps or watches.
            if step.recreate
            and step.subject not in {members.STORE, BACKUP, *logs.SERVICES, *monitoring.SERVICES}
        ),
        estimate=estimates.estimate(phases, ledger),
        hooks=hooks.read(wanted.layout, wanted.name, environment).of(wanted.kind),
    )


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
    if wanted.kind != "release":
        return Migrations()
    revisions = releasing.revisions(wanted, known)
    found = releasing.migrations_due(revisions, have.engine, have.state)
    for image in sorted(_serving(wanted.name, have)):
        labels = engine.images.get(image).attrs["Config"].get("Labels") or {}
        migrations.refuse_early_contract(found, revisions, migration_facts.of_labels(labels))
    return found


def _serving(name: str, have: Have) -> set[str]:
    """The backend's images that answer callers: of any generation when the edge does not say."""
    return {
        each.image
        for each in have.engine.containers
        if each.service == "backend"
        and each.serving
        and have.active in (None, names.generation_of(name, each.project))
    }


def _shown(have: Have, plan: Plan) -> str:
    """Which edge's settings are compared: they are the same but for names, so the one that was."""
    before = have.state.rendered.get("platform.json", {}).get("services", {})
    return next((name for name in names.EDGES if name in before), plan.edge)
