"""What a container that does not serve shows: its log, its ports, the engine's words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import docker

from slipway.commands import engine as commands
from slipway.facts import sockets
from slipway.facts.engine import Container
from slipway.run import run

LOG_LINES = 50


@dataclass(frozen=True)
class Symptoms:
    """One container that does not serve.

    `log` are its last lines; `listening` the TCP ports on which something in it listens, None
    where nobody could look; `error` the engine's reason for not starting it; `answers` what the
    edge was told by it when it asked whether it is ready.
    """

    container: Container
    log: tuple[str, ...] = ()
    listening: frozenset[int] | None = None
    error: str = ""
    answers: tuple[str, ...] = ()


def read(
    engine: docker.DockerClient, container: Container, answers: Sequence[str] = ()
) -> Symptoms:
    """Look at one container; what it does not let itself be asked is left out."""
    handle = engine.containers.get(container.id)
    log = handle.logs(tail=LOG_LINES).decode(errors="replace")
    return Symptoms(
        container=replace(container, out_of_memory=_out_of_memory(engine, container)),
        log=tuple(log.splitlines()),
        listening=_listening(container),
        error=handle.attrs["State"].get("Error", ""),
        answers=tuple(answers),
    )


def _out_of_memory(engine: docker.DockerClient, container: Container) -> bool:
    """Whether it ran out of memory.

    Its state forgets that as soon as it is started again; the engine knows its last 256 events.
    """
    if container.out_of_memory:
        return True
    # Whole seconds: of the one that is now, only its end lets everything in it be seen.
    end = int(time.time()) + 1
    wanted = {"container": container.id, "event": "oom"}
    return any(engine.events(since=1, until=end, filters=wanted))


def _listening(container: Container) -> frozenset[int] | None:
    if container.state != "running":
        return None
    done = run(commands.sockets(container.id), check=False, timeout=30)
    return sockets.listening(done.output) if done.exit_code == 0 else None
