"""`invoke alerts`: what fires in an environment, and who is told of it."""

from __future__ import annotations

import json as formats
import time
from dataclasses import asdict

import invoke

from slipway import console, monitoring, target
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.facts import engine as engine_facts
from slipway.facts import monitoring as facts
from slipway.facts.monitoring import Alert
from slipway.plans.progress import duration
from slipway.tasks.door import task

STATES = {
    "told": "",
    "silenced": "  (silenced: invoke silence.list)",
    "explained": "  (a worse alert says it)",
}


@task(
    help={
        "env": "the environment whose alerts to show",
        "json": "print them as one JSON array",
    }
)
def alerts(_context: invoke.Context, env: str = "", json: bool = False) -> None:
    """Show what fires: how bad, for how long, what it says, and the page that says what to do."""
    environment = environments.load(env, checkout())
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, env)
        found = facts.alerts(monitoring.require(env, environment, running))
    if json:
        console.say(formats.dumps([asdict(each) for each in found], indent=2))
    elif found:
        console.say("\n".join(lines(found, time.time())))
    else:
        console.say(f"Nothing fires in {env}.")


def lines(found: tuple[Alert, ...], now: float) -> list[str]:
    """Two lines for each alert: what it says, and where it is written what to do."""
    rows = [[each.severity, each.name, duration(now - each.since)] for each in found]
    said = []
    for each, row in zip(found, console.aligned(rows), strict=True):
        said += [f"{row}{STATES[each.state]}", f"  {each.summary}", f"  {each.runbook}"]
    return said
