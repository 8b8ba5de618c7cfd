"""Asking the backup service of an environment, and waiting for what takes it long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import console
from slipway.commands import backup as commands
from slipway.config import names
from slipway.config.backup import SERVICE
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import CommandFailed, Refused, SlipwayError
from slipway.facts import backup as facts
from slipway.facts import engine as engine_facts
from slipway.facts.backup import Points
from slipway.facts.engine import Running
from slipway.plans import progress as plans
from slipway.plans.steps import Step
from slipway.run import AnswerLost, run, run_into

if TYPE_CHECKING:
    from slipway.apply import Release

REFUSED = 2
COMPLAINT_BYTES = 4096


def container(environment: str, running: Running) -> str | None:
    """The id of the backup service's container while it runs."""
    found = running.of(names.platform_project(environment))
    runs = (each.id for each in found if each.service == SERVICE and each.state == "running")
    return next(runs, None)


def points(environment: str, running: Running) -> Points | None:
    """What the backup service keeps; None without one that answers."""
    asked = container(environment, running)
    return None if asked is None else facts.read(asked)


def ask(
    layout: Layout,
    environment: str,
    command: commands.Argv,
    progress: Callable[[str], None] | None = None,
    *,
    following: str = "",
) -> dict[str, Any]:
    """Have a verb of the backup service done, however long it takes; its answer.

    What it says meanwhile goes to .slipway/backup.log, and its progress to `progress`. Raises
    Refused or SlipwayError in the words of the service, and AnswerLost; `following` is what to
    type next where it names nothing.
    """
    following = following or f"invoke logs --env {environment} --service {SERVICE}"
    shown = plans.Progress()

    def on_line(line: str) -> None:
        said = shown.line(line)
        if said and progress is not None:
            progress(said)

    log = layout.local / "backup.log"
    try:
        done = run(command, log=log, on_line=on_line)
    except CommandFailed as failed:
        raise complaint(environment, failed, layout.shown(log), following) from failed
    try:
        return facts.answer(done.output)
    except ValueError as error:
        raise AnswerLost(
            f"The backup service of {environment} ended without an answer (all it said: "
            f"{layout.shown(log)})",
            next_command=following,
        ) from error


def called(reason: str) -> str:
    """A name for a point that no other one has."""
    return f"{reason}-{datetime.now(UTC):%Y%m%dT%H%M%S}"


def before_migration(release: Release, _step: Step) -> None:
    """Take a recovery point, so that the data can go back behind a change of the schema."""
    running = engine_facts.running(release.engine, release.name)
    asked = container(release.name, running)
    release.state.check()
    try:
        if asked is None:
            raise SlipwayError(f"The backup service of {release.name} does not run")
        command = commands.take(asked, name=called(f"before-{release.version}"))
        answer = ask(release.layout, release.name, command, console.say)
    except SlipwayError as error:
        raise SlipwayError(
            f"No recovery point could be taken before the schema changes: {error.message}. "
            "`invoke release --without-point REASON` goes on without one",
            next_command=error.next_command
            or f"invoke logs --env {release.name} --service {SERVICE}",
        ) from error
    release.point = str(answer["point"]["id"])


def complaint(environment: str, failed: CommandFailed, log: str, otherwise: str) -> SlipwayError:
    """The failure in the service's own words, where it found any."""
    try:
        said = facts.answer("\n".join(failed.last_lines))
        message, following = str(said["error"]), said.get("next")
    except (KeyError, ValueError):
        lines = "\n".join(f"    {line}" for line in failed.last_lines[-10:])
        message, following = f"it ended with exit code {failed.process_exit_code}\n{lines}", None
    kind = Refused if failed.process_exit_code == REFUSED else SlipwayError
    return kind(
        f"The backup service of {environment}: {message} (all it said: {log})",
        next_command=following or otherwise,
    )


def require(name: str, environment: Environment, running: Running) -> str:
    """The id of the backup service's container. Raises Refused where none runs."""
    if not environment.backup.on:
        raise Refused(
            f"{name} is not backed up (x-slipway/backup/policy in its file is none)",
            next_command=f"invoke status --env {name}",
        )
    found = container(name, running)
    if found is None:
        raise Refused(
            f"The backup service of {name} does not run",
            next_command=f"invoke release --env {name}",
        )
    return found


def require_points(name: str, container_id: str) -> Points:
    """What the service in this container keeps. Raises SlipwayError when it does not answer."""
    found = facts.read(container_id)
    if found is None:
        raise SlipwayError(
            f"The backup service of {name} does not answer",
            next_command=f"invoke logs --env {name} --service {SERVICE}",
        )
    return found


def no_such_point(name: str, wanted: str, found: Points) -> Refused:
    """The refusal of a point that is not there."""
    there = ", ".join(each.id for each in found.points[-5:]) or "none"
    return Refused(
        f"{name} has no recovery point {wanted} (the newest are: {there})",
        next_command=f"invoke backup.list --env {name}",
    )


def export(name: str, command: commands.Argv, path: Path, progress: Callable[[str], None]) -> None:
    """Write what a verb prints into a new file, which is there only when it is whole."""
    shown = plans.Progress()

    def on_line(line: str) -> None:
        if said := shown.line(line):
            progress(said)

    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        done = run_into(command, unfinished, on_line=on_line)
        if done.exit_code != 0:
            # The complaint is where the archive would be, unless some of that came before.
            said = unfinished.read_bytes()[-COMPLAINT_BYTES:].decode(errors="replace")
            last = [*done.errors.splitlines(), *said.splitlines()]
            failed = CommandFailed(command, done.exit_code, last)
            raise complaint(name, failed, "nothing else", f"invoke backup.list --env {name}")
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def plain(found: Points) -> dict[str, Any]:
    """The points for a program, times in seconds."""
    return asdict(found)
