"""`invoke secrets.*`: what an environment's secrets are, never what they say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import invoke

from slipway import build as builder
from slipway import checks, console, promotion, state, target
from slipway.config import environment as environments
from slipway.config import names
from slipway.config import secrets as known
from slipway.config.environment import TREE, Environment
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.tasks.door import task


@task(help={"env": "the environment whose secrets to list"}, name="list")
def list_(_context: invoke.Context, env: str = "") -> None:
    """List an environment's secrets: which are there, what each is for."""
    layout = checkout()
    environment = environments.load(env, layout)
    image = _toolbox(layout, env, environment)
    volume = names.state_volume(env)
    with target.reached(environment) as reached:
        there = (
            state_facts.read(image, volume).secrets
            if volume in engine_facts.read(reached.engine, env).volumes
            else {}
        )
    for secret in known.SECRETS:
        mark = "there  " if secret.name in there else "missing"
        console.say(f"  {mark}  {secret.name:<19} {secret.purpose}")
    backed_up, watched = environment.backup.on, environment.monitoring != "none"
    optional = (
        *known.OPTIONAL,
        *(known.BACKUP_SUPPLIED if backed_up else ()),
        *(known.MONITORING_SUPPLIED if watched else ()),
    )
    for secret in optional:
        mark = "there  " if secret.name in there else "not set"
        console.say(f"  {mark}  {secret.name:<19} {secret.purpose}")


@task(
    help={
        "env": "the environment that the secret is for",
        "name": "the secret's name, as secrets.list prints it",
        "file": "the file with its value, or - for standard input",
    }
)
def put(_context: invoke.Context, env: str = "", name: str = "", file: str = "-") -> None:
    """Keep a secret in an environment's state; the next release hands it to its consumers."""
    layout = checkout()
    environment = environments.load(env, layout)
    parts = (*known.BACKUP_SUPPLIED, *known.MONITORING_SUPPLIED)
    supplied = (*known.SECRETS, *known.OPTIONAL, *parts)
    accepted = [secret.name for secret in supplied]
    if name not in accepted:
        raise Refused(
            f"There is no secret {name!r} (there are: {', '.join(accepted)})",
            next_command=f"invoke secrets.list --env {env}",
        )
    if name.startswith("tls.") and environment.secrets == "generated":
        raise Refused(
            f"{name} of {env} is made and renewed by the release; for a certificate of your own "
            f"set x-slipway/secrets to `supplied`",
            next_command=f"edit {layout.shown(layout.overlay(env))}",
        )
    value = _value(file)
    complaints = known.complaints({name: value})
    if complaints:
        raise Refused("\n".join(complaints))
    image = _toolbox(layout, env, environment)
    with (
        target.reached(environment),
        state.opened(env, image, purpose=f"secrets.put {name}") as held,
    ):
        before = held.secrets((name,))
        _refuse_another_backup_key(name, value, before)
        values = known.replacing(name, value, before)
        written = held.put_secrets(values, replace=True)
    console.say(
        f"{name} of {env} is {'kept' if written else 'as it was'}; "
        f"invoke release --env {env} hands it out."
    )


def _toolbox(layout: Layout, name: str, environment: Environment) -> str:
    """The toolbox of this checkout, or where nothing is built the one of the source's release."""
    if environment.source != TREE:
        return promotion.image(layout, name, environment, "toolbox")
    with engine_facts.client() as engine:
        built = builder.build(
            layout,
            registry_name=environment.registry,
            base_id=checks.base_id(engine),
            targets=["toolbox"],
        )
    return built["toolbox"]


def _refuse_another_backup_key(name: str, value: str, before: Mapping[str, str]) -> None:
    if name == "backup_key" and before.get(name, value) != value:
        raise Refused(
            "Every backup is encrypted with the key that is there: with another one they could be "
            "read no more. Nothing was changed. A new key begins with an empty repository"
        )


def _value(file: str) -> str:
    try:
        value = sys.stdin.read() if file == "-" else Path(file).read_text()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    if not value.strip():
        raise Refused(f"{file}: empty; a secret needs a value")
    # A password typed into a file ends with a line break that nobody means; PEM keeps its own.
    return value if value.lstrip().startswith("-----BEGIN") else value.rstrip("\r\n")
