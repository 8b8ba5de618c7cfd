"""`invoke release`: plan, build, apply, prove; nothing is touched before the plan is agreed to."""

from __future__ import annotations

import json as formats
import time
from collections.abc import Sequence
from dataclasses import replace

import invoke

from slipway import (
    acceptance,
    access,
    agreements,
    checks,
    console,
    edge,
    hooks,
    pruning,
    releasing,
    sources,
    state,
    target,
)
from slipway import preview as previews
from slipway.config import environment as environments
from slipway.config import secrets
from slipway.config.environment import TREE, Environment
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused, SlipwayError, typed
from slipway.facts import engine as engine_facts
from slipway.facts import host
from slipway.facts import target as target_facts
from slipway.facts.manifest import Gate
from slipway.plans import answers, backup, budget, data_tier
from slipway.plans import release as plans
from slipway.plans.preview import Preview
from slipway.plans.release import Have, Plan, Want
from slipway.prepare import prepare
from slipway.pruning import Pruning
from slipway.releasing import Wanted
from slipway.sources import Source
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to release to",
        "prepare-host": "first install what this host lacks (as root): engine, registry, base",
        "plan": "print what would be done, touch nothing, and stop",
        "json": "with --plan: print it as one JSON object",
        "expect": "the hash of a plan: apply only that one",
        "version": "of what the environment's source released, this one; without it the newest",
        "without-point": "why the schema may change without a recovery point; goes into the ledger",
        "spend-budget": "why to release while the error budget is spent; goes into the ledger",
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
    version: str = "",
    without_point: str = "",
    spend_budget: str = "",
    yes: bool = False,
) -> None:
    """Plan, build or take what is new, start it beside what runs, switch to it, and prove it."""
    if json and not plan:
        raise Refused("--json prints a plan: give it together with --plan")
    layout = checkout()
    environment = environments.load(env, layout)
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
    with sources.opened(layout, env, environment, version, timings) as source:
        wanted = Wanted(
            *(source.layout, env, environment, source.images, source.version),
            evidence_due=source.evidence_due,
            attests=source.attests,
            without_point=without_point,
            spend_budget=spend_budget,
        )
        with target.reached(environment) as reached:
            if "toolbox" not in source.images.build:
                _check_target(wanted, reached)
            compared = releasing.compare(wanted, reached.engine)
            steps = _planned(compared)
            if steps.empty and not json:
                if not plan:
                    _settle_unchanged(layout, wanted, reached, source)
                _say_unchanged(env, environment, compared[1])
                return
            agreed = previews.preview(wanted, reached.engine, compared, steps)
        _warn_unrouted(compared[0])
        _show(source, agreed, json=json)
        if plan:
            agreements.keep(layout, agreed)
            return
        agreements.refuse_other(layout, agreed, expect)
        checks.supplied_secrets(environment, compared[1].state, env)
        _confirm(env, environment, agreed, yes=yes)
        own.before("release", agreed.plain())
        built = source.bring(timings)
        with target.reached(environment) as reached:
            wanted = replace(wanted, images=replace(source.images, references=built, build=()))
            if "toolbox" in source.images.build:
                _check_target(wanted, reached)
            sources.pull(reached.engine, built, timings)
            bound = bool(expect) or environment.source != TREE
            agreed = _settled(wanted, reached, agreed, compared[0], bound=bound)
            _apply(wanted, reached, source, agreed, own, timings, began)
            kept = Pruning(layout, env, environment, reached.engine, built["toolbox"])
            pruning.after_release(kept)
    _say_done(layout, env, environment, steps, time.monotonic() - began)


def _planned(compared: tuple[Want, Have]) -> Plan:
    """The steps. Raises Refused where users or their data would suffer for them."""
    answers.refuse_cut(compared[0].resolved, compared[0].environment)
    data_tier.refuse(*compared)
    steps = plans.plan(*compared)
    backup.refuse(*compared, steps.steps)
    budget.refuse(*compared, steps.steps)
    return steps


def _apply(
    wanted: Wanted,
    reached: target.Target,
    source: Source,
    agreed: Preview,
    own: hooks.Hooks,
    timings: dict[str, float],
    began: float,
) -> None:
    """Release under the lease, and leave manifest and evidence for whom they are for."""
    generation = agreed.plan.generation
    digest = source.manifest(wanted.images.references)
    origin, gates = sources.entry(source, digest), list[Gate]()
    try:
        done = releasing.apply(
            wanted, reached, agreed, own, timings, began, origin=origin, gates=gates
        )
    except (Refused, state.LeaseLost):
        raise
    except SlipwayError as error:
        failed = acceptance.failed(error.message.partition("\n")[0])
        try:
            source.attest(generation, [*gates, failed])
        except SlipwayError as unsaid:
            console.warn(f"others are not told that it failed: {unsaid.message}")
        raise
    _settle(wanted, source, digest, done.ways)
    counted = acceptance.requests(done.line.get("requests"))
    if counted is not None and not counted.ok:
        console.warn(f"{counted.figures['failed']} requests failed at the edge meanwhile")
    if gates:
        gates += [counted] if counted else []
        _attest(wanted, source, generation, gates)
        if source.attests:
            # What failed while the old generation was retired: there is nothing to go back to.
            acceptance.refuse_failed(gates, again=f"invoke release --env {wanted.name}")


def _settle(wanted: Wanted, source: Source, digest: str, ways: Sequence[str]) -> None:
    """Let others find what serves by now, as far as that can be told."""
    try:
        source.settle(digest, ways)
    except SlipwayError as error:
        console.warn(
            f"others are not told that {wanted.name} runs {wanted.version}, until the same is "
            f"typed again: {error.message}"
        )


def _attest(wanted: Wanted, source: Source, generation: int, gates: Sequence[Gate]) -> None:
    """Push the evidence of what serves by now. Raises SlipwayError when it cannot be pushed."""
    try:
        source.attest(generation, gates)
    except SlipwayError as error:
        raise SlipwayError(
            f"{wanted.name} serves generation {generation}, but its evidence could not be pushed, "
            f"so nobody can take {wanted.version} from there: {error.message}",
            next_command=f"invoke release --env {wanted.name}",
            code=error.code,
        ) from error


def _settled(
    wanted: Wanted, reached: target.Target, agreed: Preview, before: Want, *, bound: bool
) -> Preview:
    """The plan, made again when the images that came show that this host lets no door route.

    Raises Refused, before anything is touched, where exactly the first plan was agreed to.
    """
    running = engine_facts.read(reached.engine, wanted.name)
    unrouted = edge.refusal(wanted.name, running, wanted.images.references, ())
    if bool(unrouted) == bool(before.unrouted):
        return agreed
    if bound:
        raise Refused(
            f"This host lets no door route, as only the images could show ({unrouted}): the plan "
            "that was agreed to cannot be carried out. Nothing was touched",
            next_command=f"invoke release --env {wanted.name} --plan",
        )
    compared = releasing.compare(wanted, reached.engine)
    _warn_unrouted(compared[0])
    settled = previews.preview(wanted, reached.engine, compared, plans.plan(*compared))
    console.say(str(settled))
    return settled


def _warn_unrouted(want: Want) -> None:
    if want.unrouted:
        console.warn(
            "this host lets no door route, so its edge is changed in place, with a gap: "
            f"{want.unrouted}. With nf_tables and NAT in its kernel (modprobe nft_nat "
            "nft_chain_nat) the next release has none"
        )


def _show(source: Source, agreed: Preview, *, json: bool) -> None:
    if source.told and not json:
        console.say(source.told)
    if warning := agreed.budgets.warning:
        console.warn(warning)
    console.say(formats.dumps(agreed.plain(), indent=2) if json else str(agreed))


def _confirm(name: str, environment: Environment, agreed: Preview, *, yes: bool) -> None:
    """Ask before an environment that images are promoted to is touched."""
    if environment.source != TREE:
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


def _settle_unchanged(
    layout: Layout, wanted: Wanted, reached: target.Target, source: Source
) -> None:
    """Leave what a release leaves beside the environment, though it is as it should be."""
    toolbox = releasing.toolbox(wanted.environment, reached.engine, source.images)
    _leave_access(layout, wanted.name, wanted.environment, toolbox)
    # What is not built yet runs nowhere, so no manifest can name it.
    if not source.images.build:
        source.settle(source.manifest(source.images.references))


def _leave_access(layout: Layout, name: str, environment: Environment, toolbox: str) -> None:
    """Released from another checkout: this one's user needs CA and password too."""
    if environment.secrets == "generated" and not access.left(layout, name):
        with state.opened(name, toolbox, purpose="leave CA and password") as held:
            access.leave(layout, name, held.secrets((*access.FILES, *access.WATCHED)))


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
    opens = f"{folder}/console_password" if made else f"the secret {secrets.CONSOLE.name}"
    opens += "" if made else f", which invoke secrets.put --env {name} sets"
    watched = environment.monitoring != "none"
    shown = f"\n  console         {environment.url}/ops/   (password: {opens})" if watched else ""
    invoke_ = typed("invoke ").strip()
    console.say(f"""
{name} serves generation {steps.generation}, released in {seconds:.0f} s.
  URL             {environment.url}
  CA file         {authority}
  admin password  {password}   (user: {secrets.ADMIN}){shown}
Next:
  curl{trust} {environment.url}/health
  {invoke_} status --env {name}
  {invoke_} logs --env {name} --follow
  {invoke_} down --env {name}""")
