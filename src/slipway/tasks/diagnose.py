"""`invoke diagnose`: the faults of a running environment, each with its name and what to do."""

from __future__ import annotations

import dataclasses
import json as json_format

import invoke

from slipway import checks, console, diagnosis, target
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import host
from slipway.facts import target as target_facts
from slipway.plans import diagnosis as plans
from slipway.plans.diagnosis import Cause
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to look at",
        "json": "print the faults as one JSON object",
    }
)
def diagnose(_context: invoke.Context, env: str = "", json: bool = False) -> None:
    """Name what is wrong with an environment, with the evidence and the next command.

    Changes nothing. Ends with exit code 1 when a fault was found.
    """
    environment = environments.load(env, checkout())
    causes: list[Cause] = []
    with target.reached(environment) as reached:
        try:
            checks.registry(environment.registry)
        except Refused as refused:
            causes.append(plans.of_error(refused, env))
        try:
            if reached.remote:
                running = engine_facts.read(reached.engine, env)
                toolbox = engine_facts.toolbox(reached.engine, environment.registry)
                checks.other_host(target_facts.read(toolbox), environment, running, env)
            else:
                checks.disk(host.read(), environment.free_disk_gib)
        except Refused as refused:
            causes.append(plans.of_error(refused, env))
        causes += diagnosis.environment(reached.engine, env)
    if json:
        faults = [dataclasses.asdict(cause) for cause in causes]
        console.say(json_format.dumps({"environment": env, "faults": faults}, indent=2))
    elif causes:
        console.say("\n".join(str(cause) for cause in causes))
    else:
        console.say(
            f"No fault found in {env}: engine, registry, disk, containers, edge, state and the "
            "last release were looked at."
        )
    if causes:
        found = "1 fault" if len(causes) == 1 else f"{len(causes)} faults"
        raise SlipwayError(f"{env} has {found}")
