"""`invoke backup`: recovery points of an environment: taken, listed, proved and taken away."""

from __future__ import annotations

import json as formats
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import invoke

from slipway import backup as backups
from slipway import console, state, target
from slipway.commands import backup as commands
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.environment import Environment
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.backup import Points
from slipway.plans import points as plans
from slipway.plans.progress import duration, size
from slipway.target import Target
from slipway.tasks.door import task

KEY, ESCROW = "backup_key", "backup_key_escrow"


@dataclass(frozen=True)
class _Service:
    """The backup service of an environment that runs, and where to reach it."""

    layout: Layout
    name: str
    environment: Environment
    reached: Target
    container: str

    def ask(self, title: str, command: commands.Argv, *, quiet: bool) -> dict[str, Any]:
        """Have a verb done, with its progress on the screen unless a program reads it."""
        if quiet:
            return backups.ask(self.layout, self.name, command)
        with console.phase(title) as progress:
            return backups.ask(self.layout, self.name, command, progress)

    def points(self) -> Points:
        """The points. Raises SlipwayError when the service does not answer."""
        return backups.require_points(self.name, self.container)


@task(
    help={
        "env": "the environment to back up",
        "full": "copy everything anew, in place of what changed since the last point",
        "json": "print the point as one JSON object, and no progress",
    },
    default=True,
)
def backup(_context: invoke.Context, env: str = "", full: bool = False, json: bool = False) -> None:
    """Take a recovery point now: database, files and state of one moment."""
    with _service(env) as service:
        kind = "full" if full else ""
        command = commands.take(service.container, kind)
        answer = service.ask(f"back {env} up", command, quiet=json)
        if json:
            console.say(formats.dumps(answer["point"], indent=2))
            return
        point = answer["point"]
        console.say(f"{point['id']} is a recovery point of {env}, {size(point['size_bytes'])}.")
        for each in answer.get("missed", ()):
            console.warn(f"It is on this machine alone. {each}")
        _warn_of_key(service)


@task(
    help={
        "env": "the environment whose points to list",
        "json": "print them as one JSON object",
    },
    name="list",
)
def list_(_context: invoke.Context, env: str = "", json: bool = False) -> None:
    """List the recovery points: when, what kind, how large, where, and when they were proved."""
    with _service(env) as service:
        found = service.points()
    now = time.time()
    if json:
        console.say(formats.dumps(backups.plain(found), indent=2))
        return
    if not found.points:
        console.say(f"{env} has no recovery point yet: invoke backup --env {env}")
    else:
        console.say("\n".join(console.aligned(plans.rows(found, now))))
    console.say("\n".join(plans.summary(found, now)))
    for each in found.damaged:
        console.warn(each)


@task(
    help={
        "env": "the environment whose backups to check",
        "point": "only what this point needs; without it all of them",
        "read-data": "also read every byte of the files' repository, which takes long",
        "json": "print the outcome as one JSON object, and no progress",
    }
)
def verify(
    _context: invoke.Context,
    env: str = "",
    point: str = "",
    read_data: bool = False,
    json: bool = False,
) -> None:
    """Check that the repository still has, undamaged, what it is supposed to keep."""
    with _service(env) as service:
        chosen = _point(service, point) if point else ""
        command = commands.verify(service.container, chosen, read_data=read_data)
        answer = service.ask(f"check the backups of {env}", command, quiet=json)
    console.say(
        formats.dumps(answer, indent=2)
        if json
        else f"ok: {f'what {chosen} needs' if chosen else 'the repository'} is whole."
    )


@task(
    help={
        "env": "the environment whose backups to prove",
        "point": "the point to restore; without it the newest",
        "json": "print the outcome as one JSON object, and no progress",
    }
)
def drill(_context: invoke.Context, env: str = "", point: str = "", json: bool = False) -> None:
    """Prove a recovery point: restore it beside the environment and compare what it holds."""
    with _service(env) as service:
        chosen = _point(service, point) if point else ""
        command = commands.drill(service.container, chosen)
        answer = service.ask(f"restore {chosen or 'the newest point'}, apart", command, quiet=json)
    if json:
        console.say(formats.dumps(answer, indent=2))
        return
    console.say(_drilled(answer.get("drill", answer)))


@task(
    help={
        "env": "the environment to take a point of",
        "point": "which point; without it the newest",
        "to": "the new file to write",
    }
)
def export(_context: invoke.Context, env: str = "", point: str = "latest", to: str = "") -> None:
    """Write one recovery point into one encrypted file, for the shelf."""
    path = _new_file(to)
    with _service(env) as service:
        chosen = _point(service, point)
        with console.phase(f"export {chosen}") as progress:
            backups.export(service.name, commands.export(service.container, chosen), path, progress)
    console.say(
        f"{path} is {chosen} of {env}, {size(path.stat().st_size)}, encrypted with its key: keep "
        "both, apart from each other."
    )


@task(
    help={
        "env": "the environment whose key to take",
        "to": "the new file to write; it does not belong onto this host",
    }
)
def key(_context: invoke.Context, env: str = "", to: str = "") -> None:
    """Write the key of an environment's backups into a file: without it nothing is restored."""
    layout = checkout()
    environment = environments.load(env, layout)
    path = _new_file(to)
    with target.reached(environment) as reached:
        image = engine_facts.toolbox(reached.engine, environment.registry)
        with state.opened(env, image, purpose="backup.key") as held:
            values = held.secrets((KEY,))
        if KEY not in values:
            raise Refused(
                f"{env} has no key of backups yet: the first release with backups makes it",
                next_command=f"invoke release --env {env}",
            )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(values[KEY] + "\n")
        state.note(env, image, kind="backup.key", result="taken")
    console.say(
        f"{path} is the key of {env}'s backups. Take it off this host, and let drills try it: "
        f"invoke secrets.put --env {env} --name {ESCROW} --file {path}"
    )


@contextmanager
def _service(name: str) -> Iterator[_Service]:
    """The backup service of an environment. Raises Refused where none runs."""
    layout = checkout()
    environment = environments.load(name, layout)
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, name)
        container = backups.require(name, environment, running)
        yield _Service(layout, name, environment, reached, container)


def _point(service: _Service, wanted: str) -> str:
    """The id of a point that there is. Raises Refused."""
    found = service.points()
    point = found.named(wanted)
    if point is None:
        raise backups.no_such_point(service.name, wanted, found)
    return point.id


def _new_file(to: str) -> Path:
    if not to:
        raise Refused(
            "Which file? It must not be there yet", next_command="the same with --to FILE"
        )
    path = Path(to)
    if path.exists():
        raise Refused(f"{to} is there already; nothing is overwritten")
    if not path.absolute().parent.is_dir():
        raise Refused(f"{path.absolute().parent} is no folder")
    return path


def _warn_of_key(service: _Service) -> None:
    """Say that nobody else has the key, as far as this environment knows."""
    volume = names.state_volume(service.name)
    image = engine_facts.toolbox(service.reached.engine, service.environment.registry)
    try:
        known = state_facts.read(image, volume).secrets
    except SlipwayError:
        return
    if ESCROW not in known:
        console.warn(
            "no copy of the key of these backups was put back for drills to try: what a host loses "
            f"with its key nobody restores. invoke backup.key --env {service.name} --to FILE"
        )


def _drilled(drill: dict[str, Any]) -> str:
    """The outcome of a drill that found nothing wrong."""
    lines = [f"ok: {drill.get('point', 'the point')} was restored and is what was backed up."]
    for name, said in (("rto_seconds", "restored in"), ("rpo_seconds", "data lost")):
        if drill.get(name) is not None:
            lines.append(f"  {said:<12} {duration(float(drill[name]))}")
    lines += [f"  {name:<12} {drill[name]}" for name in ("key", "repository") if drill.get(name)]
    return "\n".join(lines)
