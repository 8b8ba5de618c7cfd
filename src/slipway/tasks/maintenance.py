"""`invoke maintenance`: turn callers away with a clear answer, and let them in again."""

from __future__ import annotations

from typing import Any

import invoke

from slipway import console, edge, state, target
from slipway.commands.edge import ADMITTING_HEADER
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.tasks.door import task

MESSAGE_CHARACTERS = 500


@task(
    positional=["state"],
    help={
        "state": "on: callers are answered 503; off: they are served again",
        "env": "the environment",
        "message": "what callers are told while it is on",
    },
)
def maintenance(_context: invoke.Context, state: str, env: str = "", message: str = "") -> None:
    """Answer callers 503 with a message and Retry-After, or serve them again.

    Requests in flight finish, /health answers as always, and releases go on.
    """
    environment = environments.load(env, checkout())
    _refuse_nonsense(state, message, env)
    with target.reached(environment) as reached:
        container = edge.container(env, engine_facts.read(reached.engine, env))
        if container is None:
            raise Refused(
                f"The edge of {env} does not run, so nobody is let in anyway",
                next_command=f"invoke status --env {env}",
            )
        before = edge.maintenance(container)
        if state == "off" and not before["on"]:
            console.say(f"Nothing to do: {env} is not under maintenance.")
            return
        now = edge.maintain(container, message if state == "on" else None)
        _note(env, engine_facts.toolbox(reached.engine, environment.registry), state, message)
    console.say(_said(env, environment.url, now))


def _refuse_nonsense(wanted: str, message: str, name: str) -> None:
    if wanted not in {"on", "off"}:
        raise Refused(
            f"{wanted!r} is neither on nor off",
            next_command=f"invoke maintenance --env {name} on",
        )
    if wanted == "off" and message:
        raise Refused("--message is what callers are told while maintenance is on")
    if len(message) > MESSAGE_CHARACTERS:
        raise Refused(
            f"--message has {len(message)} characters; at most {MESSAGE_CHARACTERS} are shown"
        )


def _note(name: str, image: str, result: str, message: str) -> None:
    reason = {"reason": message} if message else {}
    try:
        state.note(name, image, kind="maintenance", result=result, **reason)
    except SlipwayError as error:
        console.warn(f"the history of {name} could not be written: {error.message}")


def _said(name: str, url: str, now: dict[str, Any]) -> str:
    if not now["on"]:
        return f"{name} serves again at {url}."
    return (
        f"{name} is under maintenance: callers are answered 503. Requests in flight finish.\n"
        f"  look behind it   curl --header '{ADMITTING_HEADER}: {now['pass']}' {url}/\n"
        f"  end it           invoke maintenance --env {name} off"
    )
