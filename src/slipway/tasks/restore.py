"""`invoke restore`: data as it was at a recovery point or since, all of it or one part."""

from __future__ import annotations

import time

import invoke

from slipway import access as access_files
from slipway import console, target
from slipway import disaster as disasters
from slipway import into as intos
from slipway import part as parts
from slipway import restore as restoring
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.disaster import Disaster
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
        "from_": "where nothing is left of it: a folder with a copy of its repository, or second",
        "key": "with --from: the file that backup.key wrote",
        "access": "with --from second: the folder with the secrets that it is reached with",
        "into": "another environment, which is stopped: its data is overwritten, this one's is not",
        "collection": "only this collection, by its name then, beside what is there now",
        "document": "only this document: its id, or its name within --collection",
        "plan": "print what would be done, touch nothing, and stop",
        "without-point": "why nothing is kept of what is there now; goes into the ledger",
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
    from_: str = "",
    key: str = "",
    access: str = "",
    without_point: str = "",
    plan: bool = False,
    yes_overwrite: str = "",
) -> None:
    """Overwrite an environment's data with what was backed up, and start it on that.

    What is there now is kept as a point first. Killed at any moment, the same again goes on.
    With --collection or --document the environment goes on serving: what was deleted since comes
    back, what is another one now is replaced after its name was typed back, and what was added
    since stays. With --from and --key the whole environment is rebuilt where there is nothing of
    it.
    """
    _refuse_mixed(from_, key, access, into, collection or document)
    layout = checkout()
    environment = environments.load(env, layout)
    began = time.monotonic()
    with target.reached(environment) as reached:
        if collection or document:
            given, container = parts.prepare(
                *(env, environment, reached), to=to, collection=collection, document=document
            )
            _restore_part(given, container, plan=plan, yes_overwrite=yes_overwrite)
            return
        if from_:
            rebuilt = disasters.prepare(
                *(layout, env, environment, reached, to or LATEST),
                source=from_,
                key=key,
                access=access,
            )
            _rebuild(rebuilt, began, plan=plan)
            return
        if into:
            other = (into, environments.load(into, layout))
            aside = intos.prepare(layout, (env, environment), other, reached, to or LATEST)
            _restore_into(aside, plan=plan, yes_overwrite=yes_overwrite)
            return
        prepared = restoring.prepare(
            *(layout, env, environment, reached, to or LATEST), without_point=without_point
        )
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


def _refuse_mixed(from_: str, key: str, access: str, into: str, part: str) -> None:
    if part and (into or from_):
        flag = "--into" if into else "--from"
        raise Refused(f"{flag} is for all data: leave out --collection and --document")
    if from_ and not key:
        raise Refused(
            "Nothing can be read without its key: give --key with the file that backup.key wrote"
        )
    if (key or access) and not from_:
        raise Refused("--key and --access say how a repository is read: give it with --from")
    if from_ and into:
        raise Refused("--from rebuilds the environment of --env itself: leave --into out")


def _rebuild(planned: Disaster, began: float, *, plan: bool) -> None:
    """Rebuild an environment where there is nothing of it, and say what is not there again."""
    console.say(str(planned.plan))
    if plan:
        return
    line = planned.apply().line
    took = duration(time.monotonic() - began)
    name, environment = planned.name, planned.environment
    whence = planned.plan.origin.name
    console.say(
        f"{name} is rebuilt as of {planned.plan.target.said} from {whence}, after {took}, at "
        f"{environment.url}."
    )
    last = line["restore"].get("last_write")
    console.say(
        f"The last write that is there is of {last}: what came later was not in the archive."
        if last
        else "What was written after the end of the archive is not there."
    )
    for each in planned.unread:
        console.warn(f"could not be restored: {each}")
    if environment.secrets == "generated":
        folder = planned.layout.shown(access_files.folder(planned.layout, name))
        console.say(f"CA file and first administrator's password are in {folder}.")
    console.say(f"Next: invoke backup --env {name}")


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
