"""What a container that does not serve shows: its log, its ports, the engine's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        container=container,
        log=tuple(log.splitlines()),
        listening=_listening(container),
        error=handle.attrs["State"].get("Error", ""),
        answers=tuple(answers),
    )


def _listening(container: Container) -> frozenset[int] | None:
    if container.state != "running":
        return None
    done = run(commands.sockets(container.id), check=False, timeout=30)
    return sockets.listening(done.output) if done.exit_code == 0 else None
