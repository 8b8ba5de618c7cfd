"""What every way of releasing shares: compare, apply under the lease, write the outcome."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import docker

from slipway import backup, console, data_tier, edge, hooks, monitoring, state, target
from slipway.apply import Release, ground
from slipway.build import Images
from slipway.config import certificates, members, names, secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import migrations as migration_facts
from slipway.facts import stacks, transfer
from slipway.facts import state as state_facts
from slipway.facts.backup import Points
from slipway.facts.engine import EngineFacts
from slipway.facts.manifest import Gate
from slipway.facts.migrations import Revision
from slipway.facts.state import StateFacts
from slipway.facts.transfer import Known
from slipway.plans import drift, migrations, prune, restore
from slipway.plans import release as plans
from slipway.plans import stacks as stack_plans
from slipway.plans.migrations import Migrations
from slipway.plans.preview import Preview
from slipway.plans.prune import Ways
from slipway.plans.release import Have, Plan, Want
from slipway.plans.rollback import Line

# Failed releases and what they left are compared with what they were to be, for a while.
KEPT_LINES = 8


@dataclass(frozen=True)
class Wanted:
    """What is to be released where: an environment by its name and block, images and version.

    For a rollback, `to` is the number of the ledger line that it goes back to, and `resolved` what
    that release kept of its configuration. `attests`: others take from here what is accepted.
    `without_point` is why the schema may be changed without a recovery point, `spend_budget` why
    more may fail than users were promised. What `restores` comes up on data that was restored: what
    journal and ledger say of that.
    """

    layout: Layout
    name: str
    environment: Environment
    images: Images
    version: str
    kind: str = "release"
    to: int | None = None
    resolved: Mapping[str, Any] | None = None
    evidence_due: bool = False
    attests: bool = False
    without_point: str = ""
    spend_budget: str = ""
    restores: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a release that was carried out leaves: its line of the ledger, and the ways back.

    `ways` are the digests of the manifests that the environment can go back to, the newest first.
    """

    line: Mapping[str, Any]
    ways: tuple[str, ...]


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
        door = beside.submit(edge.serving, name, running)
        references, build = images.references, images.build
        tier = beside.submit(data_tier.read, name, running)
        budgets = beside.submit(monitoring.budgets, name, running)
        refusal = beside.submit(edge.refusal, name, running, references, build)
        resolving = beside.submit(_resolve, wanted, running)
        known = _state(name, environment, engine, images, running)
        if not wanted.restores:
            restore.refuse_unfinished(name, known.journal)
        active, unrouted = asked.result(), refusal.result()
        resolved = resolving.result()
    if unrouted:
        resolved = stack_plans.without_door(resolved)
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
            # The number is left out of the hashes, so any will do.
            generation=None if stack == "platform" else 1,
        )
        for stack in ("platform", "app")
    )
    migrates, points = False, None
    if stack_plans.backed_up(resolved) and wanted.kind == "release":
        migrates, points = _before_migration(wanted, engine, running, known)
    want = Want(
        environment=name,
        resolved=resolved,
        platform=platform,
        app=app,
        secrets=tuple(secret.name for secret in secrets.SECRETS),
        secrets_generated=environment.secrets == "generated",
        certificate_due=_certificate_due(environment, known),
        soak_seconds=environment.soak.seconds if wanted.kind == "release" else 0,
        goes_back=wanted.kind == "rollback" and not wanted.restores,
        content=_content(
            resolved, images, environment, known, hooks.read(layout, name, environment)
        ),
        evidence_due=wanted.evidence_due,
        unrouted=unrouted,
        migrates=migrates,
        without_point=wanted.without_point,
        keeps_budget=environment.error_budget == "refuse",
        spend_budget=wanted.spend_budget,
    )
    found = drift.drift(name, running, known, active) or ()
    there = door.result(), found, tier.result().primary, points, budgets.result()
    return want, Have(running, known, active, *there)


def revisions(wanted: Wanted, known: Mapping[str, Known]) -> tuple[Revision, ...] | None:
    """The schema's revisions that the wanted backend brings; None when it does not say."""
    if "backend" in wanted.images.build:
        return migration_facts.of_checkout(wanted.layout.root)
    return migration_facts.of_labels(known["backend"].labels)


def migrations_due(
    brought: Sequence[Revision] | None, running: EngineFacts, state_: StateFacts
) -> Migrations:
    """What these revisions change in the database as it is."""
    database = next(
        (
            each.id
            for each in running.containers
            if each.service in members.MEMBERS and each.serving
        ),
        None,
    )
    schema = (
        migration_facts.NEVER_MIGRATED
        if database is None
        else migration_facts.of_database(database)
    )
    return migrations.due(brought, schema, state_.migrating_release)


def _before_migration(
    wanted: Wanted, engine: docker.DockerClient, running: EngineFacts, known: StateFacts
) -> tuple[bool, Points | None]:
    """Whether the schema changes, or may; and then what there is to go back to."""
    references = {"backend": wanted.images.references["backend"]}
    there = transfer.read(engine, wanted.environment.registry, references)
    due = migrations_due(revisions(wanted, there), running, known)
    if due.known and not due.now:
        return False, None
    return True, backup.points(wanted.name, running)


def _resolve(wanted: Wanted, running: EngineFacts) -> Mapping[str, Any]:
    """What the stacks are cut out of: as an earlier release kept it, or as the files say now."""
    if wanted.resolved is not None:
        return edge.keeping_door(wanted.resolved, wanted.name, running)
    references = edge.with_door(wanted.images.references, wanted.name, running)
    return stacks.resolve(wanted.layout, wanted.name, wanted.environment, images=references)


def refuse_outdated(planned: Plan, found: tuple[Want, Have]) -> None:
    """Refuse when anything that the plan rests on changed between it and the lease."""
    if not planned.holds(plans.plan(*found)):
        raise Refused(
            f"{planned.environment} was changed by another release while this one was planned, or "
            "a step of the plan is needed no more",
            next_command=f"invoke release --env {planned.environment}",
        )


def apply(
    wanted: Wanted,
    reached: target.Target,
    agreed: Preview,
    own: hooks.Hooks,
    timings: dict[str, float],
    began: float,
    *,
    origin: Mapping[str, Any] | None = None,
    gates: list[Gate] | None = None,
) -> Outcome:
    """Carry out what was agreed to under the lease, and hold the outcome to what was wanted.

    `origin` are the members of the ledger's line that tell where the release comes from; `gates`
    collects what it was held to.
    """
    images, engine = wanted.images.references, reached.engine
    ground(agreed.plan, engine)
    purpose = f"{wanted.kind} {'to ' if wanted.to else ''}{wanted.version}"
    back = wanted.kind == "rollback"
    with state.opened(wanted.name, images["toolbox"], purpose=purpose, ends_soak=back) as held:
        compared = compare(wanted, engine)
        refuse_outdated(agreed.plan, compared)
        underway = Release(
            wanted.layout,
            wanted.name,
            wanted.environment,
            images,
            wanted.version,
            agreed.plan,
            engine,
            held,
            timings,
            reached.https,
            resolved=compared[0].resolved,
            note=note(wanted, origin or {}),
            attests=wanted.attests,
            point=agreed.plan.point,
            gates=[] if gates is None else gates,
        )
        outcome = carry_out(underway, began, agreed, own)
    # What was proved just now is no reason to do anything more.
    left = plans.plan(*compare(replace(wanted, evidence_due=False), engine))
    if not left.empty:
        raise SlipwayError(
            f"{wanted.name} is not what was released; still to do:\n{left}",
            next_command=f"invoke release --env {wanted.name}",
        )
    return outcome


def note(wanted: Wanted, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What journal and ledger say of the run besides its outcome."""
    to = {"to": wanted.to} if wanted.to else {}
    restores = {"restore": dict(wanted.restores)} if wanted.restores else {}
    reasons = {"without_point": wanted.without_point, "spend_budget": wanted.spend_budget}
    given = {name: reason for name, reason in reasons.items() if reason}
    return {**origin, "kind": wanted.kind, **to, **given, **restores}


def carry_out(release: Release, began: float, agreed: Preview, own: hooks.Hooks) -> Outcome:
    """Carry the plan out, and write the outcome, good or bad, into the ledger."""
    told = agreed.plain()
    text = json.dumps(release.resolved, sort_keys=True)
    configuration = hashlib.sha256(text.encode()).hexdigest()
    release.state.keep(state_facts.configuration(configuration), text)
    entry: dict[str, Any] = {
        **release.note,
        "source": release.environment.source,
        "configuration": configuration,
        "generation": release.plan.generation,
        "version": release.version,
        "images": {**release.images, **_door_image(release)},
        "plan": release.plan.hash,
        "holder": state.holder(),
    }
    release.before = _before(release)
    release.began_with = release.count()
    try:
        release.apply()
    except state.LeaseLost:
        raise
    except Exception as error:
        entry |= _point(release)
        said = error.message if isinstance(error, SlipwayError) else str(error)
        entry["reason"] = said.splitlines()[0] if said else type(error).__name__
        entry["code"] = error.code if isinstance(error, SlipwayError) else ""
        seconds = round(time.monotonic() - began, 1)
        outcome = {"SLIPWAY_RESULT": "failed", "SLIPWAY_REASON": entry["reason"]}
        entry |= _hooked(own, entry["kind"], told, outcome, seconds)
        entry |= _counted(release)
        try:
            release.state.commit(**entry, result="failed", seconds=seconds, steps=_steps(release))
            _show(release, _ledger(release, monitoring.SHOWN_LINES))
        except SlipwayError as unwritten:
            console.warn(f"the failure could not be written into the ledger: {unwritten.message}")
        raise
    seconds = round(time.monotonic() - began, 1)
    entry |= _hooked(own, entry["kind"], told, {"SLIPWAY_RESULT": "done"}, seconds)
    entry |= _counted(release) | _point(release)
    release.state.commit(
        **entry,
        result="done",
        seconds=seconds,
        phases={name: round(taken, 1) for name, taken in release.timings.items()},
        steps=_steps(release),
    )
    ledger = _ledger(release, 0)
    _show(release, ledger)
    kept = prune.retained(Ways(ledger, release.environment.retention.releases))
    try:
        _forget(release, ledger, kept)
    except SlipwayError as error:
        console.warn(f"older configurations were not removed: {error.message}")
    manifests = (line.get("manifest") for line in reversed(kept))
    return Outcome(entry, tuple(dict.fromkeys(each for each in manifests if each)))


def _ledger(release: Release, lines: int) -> tuple[Line, ...]:
    return state_facts.parse(release.state.read(history=lines)).ledger


def _show(release: Release, ledger: Sequence[Line]) -> None:
    """Have the console's page of releases show the ledger as it is now."""
    try:
        monitoring.tell(release.name, engine_facts.running(release.engine, release.name), ledger)
    except SlipwayError as error:
        console.warn(f"the console does not show this release yet: {error.message}")


def _forget(release: Release, ledger: Sequence[Line], kept: Sequence[Line]) -> None:
    """Keep the configurations of the releases that can be gone back to, and no others."""
    lately = (*kept, *ledger[-KEPT_LINES:])
    generations = {int(line["generation"]) for line in lately if "generation" in line}
    paths = [state_facts.configuration(line.get("configuration", "")) for line in kept]
    apps = [f"g{generation}/app.json" for generation in sorted(generations)]
    release.state.forget(["platform.json", *paths, *apps])


def _hooked(
    own: hooks.Hooks, kind: str, told: Mapping[str, Any], outcome: Mapping[str, str], seconds: float
) -> dict[str, Any]:
    ran = own.after(kind, told, {**outcome, "SLIPWAY_SECONDS": f"{seconds:g}"})
    return {"hooks": ran} if ran else {}


def _counted(release: Release) -> dict[str, Any]:
    counted = release.counted()
    return {} if counted is None else {"requests": counted}


def _point(release: Release) -> dict[str, str]:
    """The recovery point that the data can go back to, where the release wanted one."""
    return {"point": release.point} if release.point else {}


def _door_image(release: Release) -> dict[str, str]:
    """The door's image, which may be of an earlier release, so that nothing prunes it."""
    door = release.resolved["services"].get(names.DOOR)
    return {} if door is None else {names.DOOR: door["image"]}


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


def _before(release: Release) -> dict[str, Any] | None:
    """What the last finished release was resolved to; None for one that did not keep it."""
    committed = state_facts.parse(release.state.read()).committed or {}
    path = state_facts.configuration(committed.get("configuration", ""))
    return release.state.files([path]).get(path)
