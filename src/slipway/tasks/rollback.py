"""`invoke rollback`: all services together, as an earlier release had them."""

from __future__ import annotations

import time

import invoke

from slipway import console, hooks, publishing, releasing, target, ways_back
from slipway import preview as previews
from slipway import restore as restoring
from slipway.build import Images
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.facts import engine as engine_facts
from slipway.plans import data_tier
from slipway.plans import release as plans
from slipway.releasing import Wanted
from slipway.restore import Restore
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to take back",
        "to": "the version to go back to; without it the release before what serves",
        "with-data": "also take the data back to this recovery point, or time",
        "plan": "print what would be done, touch nothing, and stop",
        "yes": "answer the question beforehand that environments with a source ask",
        "yes-overwrite": "with --with-data: the environment's name, in place of typing it back",
    }
)
def rollback(
    _context: invoke.Context,
    env: str = "",
    to: str = "",
    with_data: str = "",
    plan: bool = False,
    yes: bool = False,
    yes_overwrite: str = "",
) -> None:
    """Go back to an earlier release: its images and its configuration, all services together."""
    layout = checkout()
    environment = environments.load(env, layout)
    began = time.monotonic()
    own = hooks.read(layout, env, environment)
    with target.reached(environment) as reached:
        toolbox = engine_facts.toolbox(reached.engine, environment.registry)
        way = ways_back.find(
            *(env, reached.engine, environment.registry, toolbox, to), data=bool(with_data)
        )
        if with_data:
            prepared = restoring.prepare(layout, env, environment, reached, with_data, way)
            console.say(f"back to release {way.version} (line {way.number} of the ledger)")
            _take_data_back(prepared, plan=plan, yes_overwrite=yes_overwrite)
            return
        # The state is written by the newest toolbox, whatever is put back.
        references = {**way.images, "toolbox": toolbox}
        images = Images(references, references, ())
        wanted = Wanted(
            *(layout, env, environment, images, way.version), "rollback", way.number, way.resolved
        )
        compared = releasing.compare(wanted, reached.engine)
        data_tier.refuse(*compared)
        steps = plans.plan(*compared)
        if steps.empty:
            if not plan:
                publishing.announce_again(environment.registry, env, way.manifest)
            console.say(f"Nothing to do: {env} runs release {way.version}. Nothing was touched.")
            return
        agreed = previews.preview(wanted, reached.engine, compared, steps)
        console.say(f"back to release {way.version} (line {way.number} of the ledger)\n{agreed}")
        if plan:
            return
        if environment.source != "tree":
            console.confirm(f"Take {env} back to release {way.version}?", yes=yes, flag="--yes")
        own.before("rollback", agreed.plain())
        done = releasing.apply(wanted, reached, agreed, own, {}, began, origin=way.origin)
        publishing.announce_again(environment.registry, env, way.manifest, done.ways)
    console.say(
        f"{env} serves release {way.version} again, as generation {steps.generation}, after "
        f"{time.monotonic() - began:.1f} s, at {environment.url}."
    )


def _take_data_back(prepared: Restore, *, plan: bool, yes_overwrite: str) -> None:
    """Restore, with the earlier release on what was restored."""
    name = prepared.name
    console.say(str(prepared.plan))
    if plan:
        return
    question = f"This overwrites the data of {name}."
    console.confirm_name(question, name, yes_overwrite, flag="--yes-overwrite")
    done = prepared.apply()
    registry, manifest = prepared.environment.registry, prepared.way.manifest
    publishing.announce_again(registry, name, manifest, done.ways)
    console.say(
        f"{name} serves release {prepared.way.version} again, on data as of "
        f"{prepared.plan.target.said}."
    )
    safety = done.line["restore"]["safety"]
    if safety:
        back = f"invoke restore --env {name} --to {safety}"
        console.say(f"The data that was there before: {back}")
