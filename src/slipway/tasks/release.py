"""`invoke release`: build, plan, apply, prove; nothing is touched before the plan is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import docker
import invoke

from slipway import access, checks, console, edge, state, target
from slipway import build as builder
from slipway.apply import Release, ground
from slipway.config import certificates, names, secrets
from slipway.config import environment as environments
from slipway.config.environment import Environment
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused, SlipwayError, typed
from slipway.facts import engine as engine_facts
from slipway.facts import git, host, stacks
from slipway.facts import state as state_facts
from slipway.facts import target as target_facts
from slipway.plans import drift
from slipway.plans import release as plans
from slipway.plans import stacks as stack_plans
from slipway.plans.release import Have, Plan, Want
from slipway.prepare import prepare
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to release to",
        "prepare-host": "first install what this host lacks (as root): engine, registry, base",
        "plan": "print the steps and stop",
    }
)
def release(
    _context: invoke.Context, env: str = "", prepare_host: bool = False, plan: bool = False
) -> None:
    """Build what changed, start it beside what runs, switch to it, and prove it."""
    layout = checkout()
    environment = environments.load(env, layout)
    _refuse_promotion(env, environment)
    checks.locks(layout)
    timings: dict[str, float] = {}
    began = time.monotonic()
    if prepare_host:
        needed = prepare(layout, only_plan=plan, timings=timings)
        if plan and needed:
            return
    _check_host(env, environment)
    with engine_facts.client() as here:
        if environment.host == "local":
            checks.ports(environment, engine_facts.read(here, env), env)
        images = builder.build(
            layout,
            registry_name=environment.registry,
            base_id=checks.base_id(here),
            timings=timings,
        )
    tree = git.read(layout.root)
    with target.reached(environment) as reached:
        engine = reached.engine
        if reached.remote:
            seen = target_facts.read(images["toolbox"])
            checks.other_host(seen, environment, engine_facts.read(engine, env), env)
        purpose = f"release {tree.short}"
        want, have = _compare(layout, env, environment, engine, images, tree.short)
        steps = plans.plan(want, have)
        if steps.empty:
            if environment.secrets == "generated" and not access.left(layout, env):
                # Released from another checkout: this one's user needs CA and password too.
                with state.opened(env, images["toolbox"], purpose=purpose) as held:
                    access.leave(layout, env, held.secrets(tuple(access.FILES)))
            _say_unchanged(env, environment, have)
            return
        console.say(f"plan {steps.hash} for {env} at {environment.url}:\n{steps}")
        if plan:
            return
        checks.supplied_secrets(environment, have.state, env)
        ground(steps, engine)
        with state.opened(env, images["toolbox"], purpose=purpose) as held:
            _refuse_outdated(steps, _compare(layout, env, environment, engine, images, tree.short))
            underway = Release(
                layout,
                env,
                environment,
                images,
                tree.short,
                steps,
                engine,
                held,
                timings,
                reached.https,
            )
            _apply(underway, began)
        want, have = _compare(layout, env, environment, engine, images, tree.short)
        left = plans.plan(want, have)
        if not left.empty:
            raise SlipwayError(
                f"{env} is not what was released; still to do:\n{left}",
                next_command=f"invoke release --env {env}",
            )
    _say_done(layout, env, environment, steps, time.monotonic() - began)


def _refuse_promotion(name: str, environment: Environment) -> None:
    if environment.source != "tree":
        raise Refused(
            f"{name} takes the images that {environment.source} accepted, from a signed manifest; "
            "this version of Slipway does not promote yet, it releases dev",
            next_command="invoke release --env dev",
        )


def _refuse_outdated(planned: Plan, found: tuple[Want, Have]) -> None:
    """Refuse when another release was done between the plan and the lease."""
    if planned.after_ground != plans.plan(*found).after_ground:
        raise Refused(
            f"{planned.environment} was changed by another release while this one was planned",
            next_command=f"invoke release --env {planned.environment}",
        )


def _check_host(name: str, environment: Environment) -> None:
    facts = host.read()
    checks.host(facts, mend=f"invoke release --env {name} --prepare-host")
    checks.disk(facts, environment.free_disk_gib)


def _compare(
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


def _certificate_due(environment: Environment, known: state_facts.StateFacts) -> bool:
    """Whether a certificate that Slipway made must be made again."""
    if environment.secrets != "generated" or known.certificate is None:
        return False
    return certificates.due(known.certificate, environment.domain, datetime.now(UTC))


def _apply(release: Release, began: float) -> None:
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


def _say_unchanged(name: str, environment: Environment, have: Have) -> None:
    committed = have.state.committed
    version = committed["version"] if committed else "?"
    console.say(
        f"Nothing to do: {name} runs release {version} as generation {have.active}, "
        f"healthy, at {environment.url}. Nothing was touched."
    )


def _say_done(
    layout: Layout, name: str, environment: Environment, steps: Plan, seconds: float
) -> None:
    folder = layout.shown(access.folder(layout, name))
    made = environment.secrets == "generated"
    authority = f"{folder}/ca.crt" if made else "the one that signed your tls.crt"
    password = f"{folder}/admin_password" if made else "the one that you supplied"
    trust = f" --cacert {folder}/ca.crt" if made else ""
    invoke_ = typed("invoke ").strip()
    console.say(f"""
{name} serves generation {steps.generation}, released in {seconds:.0f} s.
  URL             {environment.url}
  CA file         {authority}
  admin password  {password}   (user: {secrets.ADMIN})
Next:
  curl{trust} {environment.url}/health
  {invoke_} status --env {name}
  {invoke_} logs --env {name} --follow
  {invoke_} down --env {name}""")
