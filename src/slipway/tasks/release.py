"""`invoke release`: build, plan, apply, prove; nothing is touched before the plan is known."""

from __future__ import annotations

import time

import invoke

from slipway import access, checks, console, releasing, state, target
from slipway import build as builder
from slipway.apply import Release, ground
from slipway.config import environment as environments
from slipway.config import secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused, SlipwayError, typed
from slipway.facts import engine as engine_facts
from slipway.facts import git, host
from slipway.facts import target as target_facts
from slipway.plans import release as plans
from slipway.plans.release import Have, Plan
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
        want, have = releasing.compare(layout, env, environment, engine, images, tree.short)
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
            releasing.refuse_outdated(
                steps, releasing.compare(layout, env, environment, engine, images, tree.short)
            )
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
            releasing.carry_out(underway, began)
        want, have = releasing.compare(layout, env, environment, engine, images, tree.short)
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


def _check_host(name: str, environment: Environment) -> None:
    facts = host.read()
    checks.host(facts, mend=f"invoke release --env {name} --prepare-host")
    checks.disk(facts, environment.free_disk_gib)


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
