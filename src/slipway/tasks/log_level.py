"""`invoke logs.level`: have a service write more for a while, without a restart."""

from __future__ import annotations

import json

import invoke

from slipway import console, target
from slipway.commands import log_level as commands
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts.engine import Container
from slipway.run import Completed, run
from slipway.tasks.door import task

SERVICES = ("backend", "worker")
LEVELS = ("debug", "info", "warning", "error")
MINUTES = "15"
MOST_MINUTES = 24 * 60


@task(
    help={
        "env": "the environment",
        "service": f"only this service ({', '.join(SERVICES)}); may be given again",
        "level": f"what it is to be ({', '.join(LEVELS)}); without it the levels are printed",
        "minutes": "how long; then it is again what the environment's file says",
    },
    iterable=["service"],
)
def level(
    _context: invoke.Context,
    service: list[str],
    env: str = "",
    level: str = "",
    minutes: str = MINUTES,
) -> None:
    """Print the log levels of backends and workers, or set another one for some minutes.

    A container that is started meanwhile has the level of the environment's file.
    """
    environment = environments.load(env, checkout())
    _refuse_nonsense(env, service, level, minutes)
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, env)
        there = [
            each
            for each in running.containers
            if each.service in (service or SERVICES) and each.state == "running"
        ]
        if not there:
            raise Refused(
                f"No {' and no '.join(service or SERVICES)} of {env} runs",
                next_command=f"invoke status --env {env}",
            )
        for each in there:
            name = each.name.removeprefix(names.prefix(env))
            console.say(f"  {name:<14} {_told(each, env, level, minutes)}")


def _refuse_nonsense(env: str, service: list[str], level: str, minutes: str) -> None:
    unknown = [each for each in service if each not in SERVICES]
    if unknown:
        raise Refused(
            f"The level of {', '.join(unknown)} cannot be changed while it runs (that of "
            f"{' and '.join(SERVICES)} can): it is `log_level` of the environment's file",
            next_command=f"invoke release --env {env}",
        )
    if level and level not in LEVELS:
        raise Refused(f"--level {level!r} is none of {', '.join(LEVELS)}")
    if not (minutes.isascii() and minutes.isdigit() and 0 < int(minutes) <= MOST_MINUTES):
        raise Refused(f"--minutes {minutes!r} is not a number from 1 to {MOST_MINUTES}")


def _told(container: Container, env: str, level: str, minutes: str) -> str:
    done = run(commands.ask(container.id, level, int(minutes)), check=False, timeout=60)
    if done.exit_code != 0:
        raise _failed(container, env, done)
    told = json.loads(done.output)
    until = f" until {told['until']}, then {told['after']}" if told["until"] else ""
    return f"{told['level']}{until}"


def _failed(container: Container, env: str, done: Completed) -> SlipwayError:
    said = done.errors.strip().rpartition("\n")[2]
    if "invalid choice: 'log-level'" in said:
        return Refused(
            f"{container.name} is of a release that cannot change its level while it runs",
            next_command=f"invoke release --env {env}",
        )
    return SlipwayError(f"{container.name}: {said}")
