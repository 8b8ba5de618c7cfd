"""`invoke db.*`: the data tier of an environment, its members and who of them takes writes."""

from __future__ import annotations

import json as formats
from dataclasses import asdict

import invoke

from slipway import console, data_tier, state, target
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.data_tier import Tier
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment whose database to look at",
        "json": "print it as one JSON object",
    }
)
def status(_context: invoke.Context, env: str = "", json: bool = False) -> None:
    """Show the members of an environment's database: role, state, timeline, how far behind."""
    layout = checkout()
    with target.reached(environments.load(env, layout)) as reached:
        tier = _tier(env, engine_facts.read(reached.engine, env))
    if json:
        console.say(formats.dumps({**asdict(tier), "primary": tier.primary}, indent=2))
        return
    console.say(f"{'member':<12} {'role':<20} {'state':<12} {'timeline':>8}  behind")
    for each in tier.members:
        timeline = "?" if each.timeline is None else str(each.timeline)
        restart = "  (waits for a restart)" if each.pending_restart else ""
        console.say(
            f"{each.name:<12} {each.role:<20} {each.state:<12} {timeline:>8}  "
            f"{_behind(each.lag, primary=each.primary)}{restart}"
        )
    if tier.primary is None:
        raise SlipwayError(
            f"The database of {env} has no primary: nothing can be written",
            next_command=f"invoke logs --env {env} --service etcd",
        )
    if tier.ready is None:
        console.warn("no replica could take over without losing a write")


@task(
    help={
        "env": "the environment whose database to switch over",
        "to": "the member that shall take writes; without it a replica that has everything",
    }
)
def switchover(_context: invoke.Context, env: str = "", to: str = "") -> None:
    """Have a replica take the writes over, and the primary become its replica; nothing is lost."""
    layout = checkout()
    environment = environments.load(env, layout)
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, env)
        tier = _tier(env, running)
        if to and tier.member(to) is None:
            there = ", ".join(each.name for each in tier.members)
            raise Refused(
                f"There is no member {to!r} (there are: {there})",
                next_command=f"invoke db.status --env {env}",
            )
        if to and to == tier.primary:
            console.say(f"Nothing to do: {to} takes the writes of {env} already.")
            return
        if tier.ready is None:
            raise Refused(
                f"No replica of {env} has everything that was written. Nothing was touched",
                next_command=f"invoke db.status --env {env}",
            )
        image = engine_facts.toolbox(reached.engine, environment.registry)
        # A release may not change members at the same time.
        with state.opened(env, image, purpose="db.switchover") as held:
            held.check()
            answer = data_tier.switchover(env, running, to or tier.ready)
    console.say(
        f"{answer['to']} takes the writes of {env}, after {answer['seconds']} s; "
        f"{answer['from']} follows it."
    )


def _tier(name: str, running: engine_facts.EngineFacts) -> Tier:
    """The data tier. Raises Refused where there is none, and SlipwayError where none answers."""
    tier = data_tier.read(name, running)
    if tier.members:
        return tier
    if data_tier.containers(name, running):
        raise SlipwayError(
            f"No member of the data tier of {name} answers",
            next_command=f"invoke logs --env {name} --service postgres",
        )
    raise Refused(
        f"{name} has no data tier with replicas that runs (x-slipway/database/replicas in its "
        "file says how many it shall have)",
        next_command=f"invoke status --env {name}",
    )


def _behind(lag: int | None, *, primary: bool) -> str:
    if primary:
        return "-"
    return "unknown" if lag is None else f"{lag} bytes"
