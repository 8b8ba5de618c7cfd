"""`invoke restore`: an environment's data as it was at a recovery point, or at any moment since."""

from __future__ import annotations

import time

import invoke

from slipway import console, target
from slipway import into as intos
from slipway import restore as restoring
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.into import Into
from slipway.plans.progress import duration
from slipway.plans.restore import LATEST
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment whose data to overwrite",
        "to": "a point, a time with its zone, or latest: everything that was archived",
        "into": "another environment, which is stopped: its data is overwritten, this one's is not",
        "plan": "print what would be done, touch nothing, and stop",
        "yes-overwrite": "the environment's name, in place of typing it back",
    }
)
def restore(
    _context: invoke.Context,
    env: str = "",
    to: str = LATEST,
    into: str = "",
    plan: bool = False,
    yes_overwrite: str = "",
) -> None:
    """Overwrite an environment's data with what was backed up, and start it on that.

    What is there now is kept as a point first. Killed at any moment, the same again goes on.
    """
    layout = checkout()
    environment = environments.load(env, layout)
    began = time.monotonic()
    with target.reached(environment) as reached:
        if into:
            other = (into, environments.load(into, layout))
            aside = intos.prepare(layout, (env, environment), other, reached, to)
            _restore_into(aside, plan=plan, yes_overwrite=yes_overwrite)
            return
        prepared = restoring.prepare(layout, env, environment, reached, to)
        console.say(str(prepared.plan))
        if plan:
            return
        console.confirm_name(
            f"This overwrites the data of {env}.", env, yes_overwrite, flag="--yes-overwrite"
        )
        line = prepared.apply().line
    took = duration(time.monotonic() - began)
    console.say(f"{env} is as of {prepared.plan.target.said}, after {took}, at {environment.url}.")
    if line["restore"]["safety"]:
        console.say(
            f"What was there before: invoke restore --env {env} --to {line['restore']['safety']}"
        )


def _restore_into(planned: Into, *, plan: bool, yes_overwrite: str) -> None:
    """Overwrite another environment's data, and say how it is brought up."""
    console.say(str(planned))
    if plan:
        return
    if planned.released:
        question = f"This overwrites the data of {planned.into}."
        console.confirm_name(question, planned.into, yes_overwrite, flag="--yes-overwrite")
    planned.apply()
    console.say(
        f"{planned.into} has the data of {planned.name} as of {planned.wanted.said}; "
        f"invoke release --env {planned.into} brings it up."
    )
