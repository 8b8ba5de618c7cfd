"""`invoke down`: stop an environment; its data stays unless it is asked to go."""

from __future__ import annotations

import invoke

from slipway import console
from slipway.apply import STOP_SECONDS
from slipway.commands import compose
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.facts import engine as engine_facts
from slipway.run import run
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to stop",
        "volumes": "also delete its data: database, files, ledger, secrets",
        "yes": "answer the question about the data beforehand",
    }
)
def down(_context: invoke.Context, env: str = "", volumes: bool = False, yes: bool = False) -> None:
    """Stop and remove an environment's containers and networks, and with --volumes its data."""
    environments.load(env, checkout())
    with engine_facts.client() as engine:
        running = engine_facts.read(engine, env)
        if not running.containers and not running.networks and not (volumes and running.volumes):
            kept = f" ({len(running.volumes)} volumes are kept)" if running.volumes else ""
            console.say(f"Nothing to do: nothing of {env} runs{kept}.")
            return
        if volumes:
            console.confirm(
                f"Delete ALL data of {env} ({', '.join(sorted(running.volumes)) or 'no volumes'})?",
                yes=yes,
                flag="--yes",
            )
        # The app first, the platform under it last.
        platform = names.platform_project(env)
        projects = {each.project for each in running.containers}
        for project in sorted(projects, key=lambda each: (each == platform, each)):
            with console.phase(f"stop {project}"):
                run(compose.down(project, stop_seconds=STOP_SECONDS), timeout=STOP_SECONDS * 2)
        for network in engine.networks.list(filters={"label": f"{names.ENVIRONMENT_LABEL}={env}"}):
            network.remove()
        if volumes:
            for name in sorted(running.volumes):
                engine.volumes.get(name).remove()
            console.say(f"{env} is gone, with its data.")
        else:
            console.say(
                f"{env} is stopped. Its data is kept; invoke release --env {env} starts it."
            )
