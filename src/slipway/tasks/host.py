"""The host: what it has, what it lacks, and making it ready."""

from __future__ import annotations

import json
from dataclasses import asdict

import invoke

from slipway import console
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import host as facts
from slipway.plans import host as plans
from slipway.prepare import prepare as prepare_host
from slipway.prepare import stop as stop_engine
from slipway.tasks.door import task


@task(help={"json": "print the facts and what is missing as JSON"})
def check(_context: invoke.Context, json_: bool = False) -> None:
    """Say what this host has and lacks for Slipway; changes nothing."""
    found = facts.read()
    lacking = plans.missing(found)
    if json_:
        answer = {"ready": not lacking, "missing": [asdict(each) for each in lacking]}
        console.say(json.dumps({**answer, "facts": asdict(found)}, indent=2, sort_keys=True))
    else:
        console.say(plans.report(plans.check(found)))
    if lacking:
        listed = "; ".join(each.what for each in lacking)
        raise Refused(
            f"This host is not ready. Missing: {listed}", next_command=plans.next_command(found)
        )


@task(
    help={
        "plan": "print the missing steps and stop",
        "refresh": "make the base image and the registry's image anew, with today's fixes",
    }
)
def prepare(_context: invoke.Context, plan: bool = False, refresh: bool = False) -> None:
    """Make this host ready: engine, base image, registry; only what is missing."""
    if prepare_host(checkout(), refresh=refresh, only_plan=plan) and not plan:
        console.say("The host is ready. Next: invoke release --env dev")


@task
def stop(_context: invoke.Context) -> None:
    """Stop the engine if host.prepare started it; removes nothing."""
    if stop_engine():
        console.say("The engine that host.prepare started has ended. Its data stays.")
    else:
        console.say("host.prepare started no engine that runs: nothing to do.")
