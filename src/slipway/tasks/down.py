"""`invoke down`: stop an environment; its data stays unless it is asked to go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection

import docker
import invoke
from docker.errors import NotFound

from slipway import console, generations, state, target
from slipway.commands import compose
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.run import run
from slipway.tasks.door import task

POLL_SECONDS = 1.0
# Who takes an environment down does not wait for its longest answers.
STOP_SECONDS = 80


@task(
    help={
        "env": "the environment to stop",
        "volumes": "also delete its data: database, files, ledger, secrets, backups on its host",
        "yes": "answer the question about the data beforehand",
        "yes-delete": "the environment's name, where its backups would go with its data",
    }
)
def down(
    _context: invoke.Context,
    env: str = "",
    volumes: bool = False,
    yes: bool = False,
    yes_delete: str = "",
) -> None:
    """Stop and remove an environment's containers and networks, and with --volumes its data."""
    layout = checkout()
    known = env in environments.names(layout)
    with target.reached(environments.load(env, layout) if known else None) as reached:
        engine = reached.engine
        if not engine_facts.read(engine, env).any:
            # Nothing on the engine has this name, so it may be misspelt.
            environments.load(env, layout)
        _await_release(engine, env)
        running = engine_facts.read(engine, env)
        if not running.containers and not running.networks and not (volumes and running.volumes):
            kept = f" ({len(running.volumes)} volumes are kept)" if running.volumes else ""
            console.say(f"Nothing to do: nothing of {env} runs{kept}.")
            return
        if volumes:
            _confirm(env, running.volumes, yes=yes, yes_delete=yes_delete)
        for container in engine_facts.one_offs(engine, env):
            container.remove(force=True)
        # The app first, the platform under it last.
        platform = names.platform_project(env)
        projects = {each.project for each in running.containers}
        for project in sorted(projects, key=lambda each: (each == platform, each)):
            with console.phase(f"stop {project}"):
                if project != platform:
                    generations.end_drain(project)
                run(compose.down(project, stop_seconds=STOP_SECONDS), timeout=STOP_SECONDS * 2)
        for network in engine.networks.list(filters={"label": f"{names.ENVIRONMENT_LABEL}={env}"}):
            # Another one of this task may have been there first.
            with contextlib.suppress(NotFound):
                network.remove()
        if volumes:
            for name in sorted(running.volumes):
                engine.volumes.get(name).remove()
            console.say(f"{env} is gone, with its data.")
        else:
            console.say(
                f"{env} is stopped. Its data is kept; invoke release --env {env} starts it."
            )


def _confirm(name: str, volumes: Collection[str], *, yes: bool, yes_delete: str) -> None:
    """Ask before data is deleted; where its backups go with it, nothing would bring it back."""
    question = f"Delete ALL data of {name} ({', '.join(sorted(volumes)) or 'no volumes'})"
    if names.backup_volume(name) in volumes:
        together = f"{question}, and its backups on this host?"
        console.confirm_name(together, name, yes_delete, flag="--yes-delete")
    elif not yes_delete:
        console.confirm(f"{question}?", yes=yes, flag="--yes")
    elif yes_delete != name:
        raise Refused(f"{yes_delete!r} is not {name!r}. Nothing was changed.")


def _await_release(engine: docker.DockerClient, name: str) -> None:
    """Wait for the lease of a release that was killed; refuse in the middle of one that lives."""
    deadline = time.monotonic() + state.LEASE_SECONDS + POLL_SECONDS
    waiting = False
    while _is_there(engine, names.toolbox_container(name)):
        if not waiting:
            console.say(
                f"A release of {name} is under way, or was killed: waiting up to "
                f"{state.LEASE_SECONDS} s for the end of its lease."
            )
            waiting = True
        if time.monotonic() > deadline:
            raise Refused(
                f"A release of {name} is under way. Nothing was stopped.",
                next_command=f"invoke status --env {name}",
            )
        time.sleep(POLL_SECONDS)


def _is_there(engine: docker.DockerClient, container: str) -> bool:
    try:
        engine.containers.get(container)
    except NotFound:
        return False
    return True
