"""`invoke silence`: what nobody shall be told of for a while, and who asked for that."""

from __future__ import annotations

import json as formats
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import invoke

from slipway import console, holders, monitoring, target
from slipway.commands import monitoring as commands
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts import monitoring as facts
from slipway.plans import silence as plans
from slipway.plans.progress import duration as said
from slipway.run import run
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment whose alerts shall be silent",
        "alert": "the alert that nobody shall be told of",
        "service": "only of this service; without it of all",
        "duration": "for how long: 30m, 2h, 3d; at most 31d",
        "reason": "why, for whoever wonders",
    },
    default=True,
)
def silence(
    _context: invoke.Context,
    env: str = "",
    alert: str = "",
    service: str = "",
    duration: str = "2h",
    reason: str = "",
) -> None:
    """Tell nobody of an alert for a while, in a planned outage or while somebody is at it."""
    known = [page.stem for page in (checkout().root / "docs/runbooks").glob("*.md")]
    wanted = plans.wanted(alert, service, duration, reason, known)
    with _alertmanager(env) as container:
        words = (wanted.matchers, wanted.duration, holders.name(), wanted.reason)
        made = run(commands.silence(container, *words)).output.strip()
    console.say(f"Nobody is told of {wanted}.\nSooner: invoke silence.end --env {env} --id {made}")


@task(
    help={
        "env": "the environment whose silences to list",
        "json": "print them as one JSON array",
    },
    name="list",
)
def list_(_context: invoke.Context, env: str = "", json: bool = False) -> None:
    """List what nobody is told of: until when, by whom, and why."""
    with _alertmanager(env) as container:
        found = facts.silences(container)
    if json:
        console.say(formats.dumps([asdict(each) for each in found], indent=2))
        return
    if not found:
        console.say(f"Nothing is silenced in {env}.")
        return
    now = time.time()
    rows = [
        [each.id, f"{said(each.until - now)} left", " ".join(each.matchers), each.author]
        for each in found
    ]
    for each, row in zip(found, console.aligned(rows), strict=True):
        console.say(f"{row}\n  {each.reason}")


@task(
    help={
        "env": "the environment",
        "id": "the silence to end, as silence.list names it",
    }
)
def end(_context: invoke.Context, env: str = "", id: str = "") -> None:
    """End a silence: people are told again."""
    with _alertmanager(env) as container:
        there = [each.id for each in facts.silences(container)]
        if id not in there:
            raise Refused(
                f"{env} has no silence {id!r} (there are: {', '.join(there) or 'none'})",
                next_command=f"invoke silence.list --env {env}",
            )
        run(commands.end_silence(container, id))
    console.say(f"{id} has ended: people are told again.")


@contextmanager
def _alertmanager(name: str) -> Iterator[str]:
    environment = environments.load(name, checkout())
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, name)
        yield monitoring.require(name, environment, running)
