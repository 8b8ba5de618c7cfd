"""`invoke logs`: what the containers of an environment wrote."""

from __future__ import annotations

import invoke

from slipway import target
from slipway.commands import compose
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.run import run_attached
from slipway.tasks.door import task


@task(
    help={
        "env": "the environment to read",
        "service": "only this service (edge, door, postgres, backend, worker); may be given again",
        "follow": "keep printing what comes",
        "tail": "how many lines of each container, or `all`",
    },
    iterable=["service"],
)
def logs(
    _context: invoke.Context,
    service: list[str],
    env: str = "",
    follow: bool = False,
    tail: str = "200",
) -> None:
    """Print the logs of an environment's containers, the newest generation's for the app."""
    environment = environments.load(env, checkout())
    if tail != "all" and not tail.isdigit():
        raise Refused(f"--tail {tail!r} is neither a number nor `all`")
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
        followed = _newest(env, projects) if follow else None
        for project in [followed] if followed else sorted(projects):
            run_attached(compose.logs(project, sorted(projects[project]), follow=follow, tail=tail))


def _kind(service: str) -> str:
    """What a person calls a service: either of the two edges is the edge."""
    return names.EDGES[0] if service in names.EDGES else service


def _newest(env: str, projects: dict[str, set[str]]) -> str:
    """The one project to follow: the newest generation, or the platform when only it is asked."""
    return max(projects, key=lambda project: names.generation_of(env, project) or 0)
