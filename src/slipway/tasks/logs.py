"""`invoke logs`: what the containers of an environment wrote."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

import docker
import invoke

from slipway import console, target
from slipway.commands import compose
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts import logs as facts
from slipway.facts.engine import EngineFacts
from slipway.facts.logs import Line
from slipway.plans import logs as plans
from slipway.run import run_attached
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to read",
        "service": "only this service (edge, door, postgres, backend, worker); may be given again",
        "follow": "keep printing what comes",
        "tail": "how many lines of each container, or `all`; all of them where a time is given",
        "since": "only what was written in this time: 30m, 2h, 3d",
        "grep": "only lines with this text in them, as a request's id",
        "json": "print each line as one JSON object",
    },
    iterable=["service"],
)
def logs(
    _context: invoke.Context,
    service: list[str],
    env: str = "",
    follow: bool = False,
    tail: str = "",
    since: str = "",
    grep: str = "",
    json: bool = False,
) -> None:
    """Print the logs of an environment's containers, the newest generation's for the app.

    What is searched for is printed in the order in which it was written, whoever wrote it.
    """
    environment = environments.load(env, checkout())
    wanted = plans.wanted(tail, since, grep, json=json, follow=follow)
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, env)
        projects: dict[str, set[str]] = {}
        for each in running.containers:
            if not service or _kind(each.service) in service:
                projects.setdefault(each.project, set()).add(each.service)
        if not projects:
            there = (
                ", ".join(sorted({each.service for each in running.containers})) or "nothing runs"
            )
            raise Refused(
                f"{env} has no container of {', '.join(service) or 'any service'} (there: {there})",
                next_command=f"invoke status --env {env}",
            )
        if wanted.searches:
            found = _found(reached.engine, env, running, projects, wanted)
            for line in found:
                console.say(wanted.shown(line))
            if not found:
                console.warn("no line is like that")
            return
        followed = _newest(env, projects) if follow else None
        for project in [followed] if followed else sorted(projects):
            run_attached(
                compose.logs(project, sorted(projects[project]), follow=follow, tail=wanted.tail)
            )


def _found(
    engine: docker.DockerClient,
    name: str,
    running: EngineFacts,
    projects: Mapping[str, Collection[str]],
    wanted: plans.Wanted,
) -> list[Line]:
    """The lines that are wanted, of all containers together."""
    since = None if wanted.seconds is None else time.time() - wanted.seconds
    prefix = names.prefix(name)
    lines = [
        line
        for each in running.containers
        if each.service in projects.get(each.project, ())
        for line in facts.read(
            engine, each, each.name.removeprefix(prefix), since=since, tail=wanted.tail
        )
        if wanted.grep in line.text
    ]
    return sorted(lines, key=lambda line: line.moment)


def _kind(service: str) -> str:
    """What a person calls a service: either of the two edges is the edge."""
    return names.EDGES[0] if service in names.EDGES else service


def _newest(env: str, projects: dict[str, set[str]]) -> str:
    """The one project to follow: the newest generation, or the platform when only it is asked."""
    return max(projects, key=lambda project: names.generation_of(env, project) or 0)
