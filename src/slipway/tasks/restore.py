"""`invoke restore`: data as it was at a recovery point or since, all of it or one part."""

from __future__ import annotations

import time

import invoke

from slipway import console, target
from slipway import into as intos
from slipway import part as parts
from slipway import restore as restoring
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.into import Into
from slipway.part import Part
from slipway.plans.progress import duration
from slipway.plans.restore import LATEST
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment whose data to overwrite",
        "to": "a point, a time with its zone, or latest: everything that was archived (the "
        "default; for a collection or a document that is the newest point)",
        "into": "another environment, which is stopped: its data is overwritten, this one's is not",
        "collection": "only this collection, by its name then, beside what is there now",
        "document": "only this document: its id, or its name within --collection",
        "plan": "print what would be done, touch nothing, and stop",
        "yes-overwrite": "the name of what is overwritten, in place of typing it back: the "
        "environment's, the collection's or the document's",
    }
)
def restore(
    _context: invoke.Context,
    env: str = "",
    to: str = "",
    into: str = "",
    collection: str = "",
    document: str = "",
    plan: bool = False,
    yes_overwrite: str = "",
) -> None:
    """Overwrite an environment's data with what was backed up, and start it on that.

    What is there now is kept as a point first. Killed at any moment, the same again goes on.
    With --collection or --document the environment goes on serving: what was deleted since comes
    back, what is another one now is replaced after its name was typed back, and what was added
    since stays.
    """
    layout = checkout()
    environment = environments.load(env, layout)
    began = time.monotonic()
    if into and (collection or document):
        raise Refused("--into is for all data: leave out --collection and --document")
    with target.reached(environment) as reached:
        if collection or document:
            given, container = parts.prepare(
                *(env, environment, reached), to=to, collection=collection, document=document
            )
            _restore_part(given, container, plan=plan, yes_overwrite=yes_overwrite)
            return
        if into:
            other = (into, environments.load(into, layout))
            aside = intos.prepare(layout, (env, environment), other, reached, to or LATEST)
            _restore_into(aside, plan=plan, yes_overwrite=yes_overwrite)
            return
        prepared = restoring.prepare(layout, env, environment, reached, to or LATEST)
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


def _restore_part(given: Part, container: str, *, plan: bool, yes_overwrite: str) -> None:
    """Bring a collection or a document back, after what it replaces was agreed to."""
    try:
        with console.phase("take it out of the backup") as progress:
            planned = given.fetch(container, progress)
        if planned.nothing:
            console.say(f"{planned.idle}.")
            return
        console.say(str(planned))
        if plan:
            return
        if planned.replaces:
            question = f"This overwrites what {planned.subject} is now."
            console.confirm_name(question, planned.name, yes_overwrite, flag="--yes-overwrite")
        given.put(planned)
        console.say(f"{planned.done}.")
    finally:
        given.forget()
