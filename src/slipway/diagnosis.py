"""Naming the fault: what is seen of it, put together into the one error that a person reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import docker

from slipway import edge
from slipway.commands import engine as commands
from slipway.config import names
from slipway.errors import CommandFailed, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state, symptoms
from slipway.facts.engine import Container
from slipway.plans import diagnosis as plans
from slipway.plans.diagnosis import Cause, Code
from slipway.run import run


def containers(
    engine: docker.DockerClient,
    environment: str,
    found: Sequence[Container],
    headline: str,
    answers: Mapping[str, Sequence[str]] | None = None,
) -> SlipwayError:
    """The error for containers of which some do not serve.

    `answers` maps a container's id to what it told the edge, for those that are healthy by their
    own check and yet not ready.
    """
    said = answers or {}
    seen = [
        symptoms.read(engine, each, said.get(each.id, ()))
        for each in found
        if not each.serving or each.id in said
    ]
    if not seen:
        return SlipwayError(
            f"{headline}: every container that is there is healthy; some are missing",
            next_command=f"invoke status --env {environment}",
        )
    cause = plans.first([plans.of_container(each, environment) for each in seen])
    assert cause is not None
    blocks = "\n".join(plans.block(each) for each in seen)
    return SlipwayError(
        f"{headline}: {cause.sentence}\n{blocks}",
        next_command=cause.next_command,
        code=cause.code,
    )


def command(error: CommandFailed, environment: str, headline: str) -> SlipwayError:
    """The error for a command of the engine that failed, named where its output names a fault."""
    cause = plans.of_command(error, environment)
    lines = "".join(f"\n    {line}" for line in error.last_lines)
    if cause is None:
        mend = f"invoke status --env {environment}"
        return SlipwayError(f"{headline}:{lines}", next_command=mend)
    return SlipwayError(
        f"{headline}: {plans.meaning(cause.code)}{lines}",
        next_command=cause.next_command,
        code=cause.code,
    )


def migration(error: CommandFailed, environment: str, postgres: str | None) -> SlipwayError:
    """The error for a migration that failed; one that met a lock is told who holds it."""
    code = plans.of_output("\n".join(error.last_lines)) or Code.MIGRATION_FAILED
    lines = "".join(f"\n    {line}" for line in error.last_lines)
    if code is Code.MIGRATION_LOCKED and postgres is not None:
        lines += "".join(f"\n  {line}" for line in _blockers(postgres))
    return SlipwayError(
        f"{plans.meaning(Code.MIGRATION_FAILED).capitalize()}"
        f"{'' if code is Code.MIGRATION_FAILED else f', {plans.meaning(code)}'}:{lines}",
        next_command=plans.next_command(code, environment),
        code=code,
    )


def unfinished_migration(error: SlipwayError, environment: str) -> SlipwayError:
    """The error for a migration that was not waited for until its end."""
    code = Code.MIGRATION_FAILED
    return SlipwayError(
        f"{plans.meaning(code).capitalize()}: {error.message}",
        next_command=plans.next_command(code, environment),
        code=code,
    )


def environment(engine: docker.DockerClient, name: str) -> list[Cause]:
    """The faults of a running environment: its state, its containers, its edge."""
    running = engine_facts.read(engine, name)
    if not running.containers:
        sentence = f"nothing of {name} runs"
        return [Cause(Code.STOPPED, sentence, plans.next_command(Code.STOPPED, name))]
    sick = [symptoms.read(engine, each) for each in running.containers if not each.serving]
    causes = [replace(plans.of_container(each, name), details=plans.block(each)) for each in sick]
    found = edge.container(name, running)
    try:
        answer, why = (None, "") if found is None else (edge.status(found), "")
    except SlipwayError as error:
        answer, why = None, f"    {error.message}"
    cause = plans.of_edge(answer, name)
    if cause is None and not edge.reachable(name, running):
        sentence = "no door runs, so nobody reaches the edge"
        cause = Cause(Code.EDGE_GONE, sentence, plans.next_command(Code.STOPPED, name))
    if cause is not None:
        causes.append(replace(cause, details=cause.details or why))
    volume = names.state_volume(name)
    if volume in running.volumes:
        # Whence the running images came: the overlay may name another registry by now.
        registry = running.containers[0].image.partition("/slipway/")[0]
        toolbox = engine_facts.toolbox(engine, registry)
        causes += plans.of_state(state.read(toolbox, volume), name)
    return causes


def _blockers(postgres: str) -> list[str]:
    done = run(commands.blockers(postgres), check=False, timeout=30)
    if done.exit_code != 0:
        return [f"who holds it could not be asked: {done.errors.strip()}"]
    holders = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    if not holders:
        return ["nobody holds a transaction open any more"]
    return [
        f"open for {each['seconds']:g} s: process {each['process']} of {each['user']}"
        f" ({each['program'] or 'no name'}, {each['state']}): {' '.join(each['statement'].split())}"
        for each in holders
    ]
