"""`invoke release`: plan, build, apply, prove; nothing is touched before the plan is agreed to."""

from __future__ import annotations

import json as formats
import time
from dataclasses import replace

import invoke

from slipway import access, agreements, checks, console, hooks, pruning, releasing, state, target
from slipway import build as builder
from slipway import preview as previews
from slipway.config import environment as environments
from slipway.config import secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused, typed
from slipway.facts import engine as engine_facts
from slipway.facts import git, host
from slipway.facts import target as target_facts
from slipway.plans import release as plans
from slipway.plans.preview import Preview
from slipway.plans.release import Have, Plan
from slipway.prepare import prepare
from slipway.pruning import Pruning
from slipway.releasing import Wanted
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to release to",
        "prepare-host": "first install what this host lacks (as root): engine, registry, base",
        "plan": "print what would be done, touch nothing, and stop",
        "json": "with --plan: print it as one JSON object",
        "expect": "the hash of a plan: apply only that one",
        "yes": "answer the question beforehand that environments with a source ask",
    }
)
def release(
    _context: invoke.Context,
    env: str = "",
    prepare_host: bool = False,
    plan: bool = False,
    json: bool = False,
    expect: str = "",
    yes: bool = False,
) -> None:
    """Plan, build what changed, start it beside what runs, switch to it, and prove it."""
    if json and not plan:
        raise Refused("--json prints a plan: give it together with --plan")
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
    own = hooks.read(layout, env, environment)
    with engine_facts.client() as here:
        if environment.host == "local":
            checks.ports(environment, engine_facts.read(here, env), env)
        base = checks.base_id(here)
    images = builder.wanted(layout, registry_name=environment.registry, base_id=base)
    wanted = Wanted(layout, env, environment, images, git.read(layout.root).short)
    with target.reached(environment) as reached:
        if "toolbox" not in images.build:
            _check_target(wanted, reached)
        compared = releasing.compare(wanted, reached.engine)
        steps = plans.plan(*compared)
        if steps.empty and not json:
            _leave_access(
                layout, env, environment, releasing.toolbox(environment, reached.engine, images)
            )
            _say_unchanged(env, environment, compared[1])
            return
        agreed = previews.preview(wanted, reached.engine, compared, steps)
    console.say(formats.dumps(agreed.plain(), indent=2) if json else str(agreed))
    if plan:
        agreements.keep(layout, agreed)
        return
    agreements.refuse_other(layout, agreed, expect)
    checks.supplied_secrets(environment, compared[1].state, env)
    _confirm(env, environment, agreed, yes=yes)
    own.before("release", agreed.plain())
    built = builder.build(layout, registry_name=environment.registry, base_id=base, timings=timings)
    with target.reached(environment) as reached:
        wanted = replace(wanted, images=replace(images, references=built, build=()))
        if "toolbox" in images.build:
            _check_target(wanted, reached)
        releasing.apply(wanted, reached, agreed, own, timings, began)
        pruning.after_release(Pruning(layout, env, environment, reached.engine, built["toolbox"]))
    _say_done(layout, env, environment, steps, time.monotonic() - began)


def _confirm(name: str, environment: Environment, agreed: Preview, *, yes: bool) -> None:
    """Ask before an environment that images are promoted to is touched."""
    if environment.source != "tree":
        console.confirm(
            f"Apply plan {agreed.plan.hash}, version {agreed.version}, to {name}?",
            yes=yes,
            flag="--yes",
        )


def _check_target(wanted: Wanted, reached: target.Target) -> None:
    """Refuse another host that has no room, or whose ports are taken."""
    if reached.remote:
        seen = target_facts.read(wanted.images.references["toolbox"])
        running = engine_facts.read(reached.engine, wanted.name)
        checks.other_host(seen, wanted.environment, running, wanted.name)


def _leave_access(layout: Layout, name: str, environment: Environment, toolbox: str) -> None:
    """Released from another checkout: this one's user needs CA and password too."""
    if environment.secrets == "generated" and not access.left(layout, name):
        with state.opened(name, toolbox, purpose="leave CA and password") as held:
            access.leave(layout, name, held.secrets(tuple(access.FILES)))


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
