"""`invoke prune`: remove the images that no environment can go back to."""

from __future__ import annotations

import invoke

from slipway import console, target
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.facts import engine as engine_facts
from slipway.pruning import Pruning
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment whose engine and registry are pruned",
        "plan": "print what would go, and stop",
    }
)
def prune(_context: invoke.Context, env: str = "", plan: bool = False) -> None:
    """Remove images that no environment can go back to, old build cache, the registry's garbage."""
    layout = checkout()
    environment = environments.load(env, layout)
    with target.reached(environment) as reached:
        toolbox = engine_facts.toolbox(reached.engine, environment.registry)
        pruning = Pruning(layout, env, environment, reached.engine, toolbox)
        found = pruning.plan(collect=True)
        console.say(f"{found.kept} images stay as ways back or in use; these go:\n{found}")
        if not plan:
            with console.phase("prune"):
                pruning.apply(found)
