"""`invoke logs`: what the services of an environment wrote."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

import docker
import invoke

from slipway import console, target
from slipway.commands import compose, users
from slipway.config import environment as environments
from slipway.config import logs as log_store
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts import logs as facts
from slipway.facts.engine import EngineFacts
from slipway.facts.logs import Line
from slipway.plans import logs as plans
from slipway.run import run, run_attached
from slipway.tasks.door import task

#: Seconds between two questions about what has come, and how late a line may come.
FOLLOW_SECONDS = 2.0
LATE_SECONDS = 15.0


@task(
    help={
        "env": "the environment to read",
        "service": "only this service (edge, door, postgres, backend, worker); may be given again",
        "follow": "keep printing what comes",
        "tail": "how many lines of each container, or `all`; all of them where a time is given",
        "since": "only what was written in this time: 30m, 2h, 3d",
        "grep": "only lines with this text in them",
        "request": "follow one request by its id, from the edge to the worker",
        "user": "only requests of this user, by name",
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
    request: str = "",
    user: str = "",
    json: bool = False,
) -> None:
    """Print what an environment's services wrote, of the newest generation or since a time.

    Searches ask the central log store, where there is one, which knows also containers that are
    gone; else they read the containers. They print in the order of writing, whoever wrote it.
    """
    environment = environments.load(env, checkout())
    words = partial(plans.wanted, tail, since, grep, json=json, follow=follow, request=request)
    wanted = words()
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, env)
        if user:
            wanted = words(user=_hash(env, running, user))
        store = _store(env, running) if wanted.searches else None
        if store is not None:
            _print_kept(store, wanted, _kinds(service), follow=follow)
            return
        if follow:
            plans.followed(wanted)
        projects = _projects(env, running, service)
        if wanted.searches:
            _print(_found(reached.engine, env, running, projects, wanted), wanted)
            return
        followed = _newest(env, projects) if follow else None
        for project in [followed] if followed else sorted(projects):
            run_attached(
                compose.logs(project, sorted(projects[project]), follow=follow, tail=wanted.tail)
            )


def _hash(env: str, running: EngineFacts, user: str) -> str:
    """What a user is called in lines. Raises Refused where there is none of this name."""
    serving = [each for each in running.containers if each.service == "backend" and each.serving]
    if not serving:
        raise Refused(
            f"No backend of {env} answers, and only one knows what {user} is called in the logs",
            next_command=f"invoke status --env {env}",
        )
    done = run(users.hashed(serving[-1].id, user), check=False, timeout=60)
    if done.exit_code != 0:
        said = done.errors.strip().rpartition("\n")[2].removeprefix("slipway-backend: ")
        raise Refused(f"{env}: {said}")
    return done.output.strip()


def _store(env: str, running: EngineFacts) -> str | None:
    """The container of the log store; None where none runs, which is said where one should."""
    platform = running.of(names.platform_project(env))
    found = next((each for each in platform if each.service == log_store.STORE), None)
    if found is not None and found.state != "running":
        console.warn(f"the log store does not run ({found.condition}): containers are read instead")
        return None
    return None if found is None else found.id


def _print_kept(
    store: str, wanted: plans.Wanted, services: Collection[str], *, follow: bool
) -> None:
    """Print what the store finds, and, if asked to, what comes until somebody stops it."""
    question = plans.question(wanted, sorted(services))
    found = facts.search(store, question)
    if wanted.request and not services and (also := plans.of_database(found)):
        found = [*dict.fromkeys([*found, *facts.search(store, also)])]
    if len(found) == plans.MOST:
        console.warn(f"these are the last {plans.MOST}: there may be more; --tail says how many")
    _print(found, wanted, quiet=follow)
    shown = dict.fromkeys(found)
    try:
        while follow:
            time.sleep(FOLLOW_SECONDS)
            since = datetime.now(UTC) - timedelta(seconds=FOLLOW_SECONDS + LATE_SECONDS)
            come = facts.search(store, plans.question(wanted, sorted(services), since.isoformat()))
            _print([line for line in come if line not in shown], wanted, quiet=True)
            shown = dict.fromkeys(come)
    except KeyboardInterrupt:
        return


def _print(found: list[Line], wanted: plans.Wanted, *, quiet: bool = False) -> None:
    if wanted.request:
        found = sorted(found, key=lambda line: line.begun)
    for line in found:
        console.say(wanted.shown(line))
    if not found and not quiet:
        console.warn("no line is like that")


def _projects(env: str, running: EngineFacts, service: Collection[str]) -> dict[str, set[str]]:
    """The projects with containers of these services. Raises Refused where there is none."""
    projects: dict[str, set[str]] = {}
    for each in running.containers:
        if not service or _kind(each.service) in service:
            projects.setdefault(each.project, set()).add(each.service)
    if not projects:
        there = ", ".join(sorted({each.service for each in running.containers})) or "nothing runs"
        raise Refused(
            f"{env} has no container of {', '.join(service) or 'any service'} (there: {there})",
            next_command=f"invoke status --env {env}",
        )
    return projects


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
        if all(text in line.text for text in wanted.texts)
    ]
    return sorted(lines, key=lambda line: line.moment)


def _kinds(services: Collection[str]) -> set[str]:
    """The services as the store knows them."""
    edges = names.EDGES if names.EDGES[0] in services else ()
    return {*services, *edges}


def _kind(service: str) -> str:
    """What a person calls a service: either of the two edges is the edge."""
    return names.EDGES[0] if service in names.EDGES else service


def _newest(env: str, projects: dict[str, set[str]]) -> str:
    """The one project to follow: the newest generation, or the platform when only it is asked."""
    return max(projects, key=lambda project: names.generation_of(env, project) or 0)
