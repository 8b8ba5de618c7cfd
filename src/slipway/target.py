"""The engine that an environment runs on: this machine's, or another host's over SSH."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker

from slipway.commands import ssh
from slipway.config.environment import Environment
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts.registry import loopback
from slipway.run import Background, background

ENGINE_VARIABLE = "DOCKER_HOST"
#: `ssh`, or `ssh -F FILE` and the like, where the user's own configuration is not the one to take.
SSH_VARIABLE = "SLIPWAY_SSH"
CONNECT_SECONDS = 20.0
POLL_SECONDS = 0.05
#: What was meant before each of the engines that are reached now, the first one's first.
_replaced: list[str | None] = []


@dataclass(frozen=True)
class Target:
    """An engine in use, and the port of this machine at which the environment's edge answers."""

    engine: docker.DockerClient
    https: int
    remote: bool


@contextlib.contextmanager
def reached(environment: Environment | None) -> Iterator[Target]:
    """The engine of `environment`, for as long as the block lasts; without one this machine's.

    The `docker` program means the same engine meanwhile, also inside another one's block. Another
    host needs a Docker engine and an SSH server, and its user the right to use the engine. Images
    come from the site's registry; one on this machine's loopback interface is lent to the other
    host, so that only the layers which it lacks go over the connection.

    Raises Refused when the host or its engine cannot be reached.
    """
    if environment is None or environment.host == "local":
        with _meant(_own()), engine_facts.client() as engine:
            yield Target(engine, environment.ports.https if environment else 0, remote=False)
        return
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        path, https = Path(folder) / "docker.sock", _port()
        with background(_command(environment, path, https)) as connection:
            _await(connection, path, environment)
            with _meant(f"unix://{path}"), engine_facts.client() as engine:
                yield Target(engine, https, remote=True)


def _command(environment: Environment, path: Path, https: int) -> tuple[str, ...]:
    ports = environment.ports
    # Whatever address the edge is published on, it answers there on its own host.
    address = ports.address
    if ipaddress.ip_address(address).is_unspecified:
        address = "127.0.0.1"
    name, _, port = environment.registry.rpartition(":")
    lent = (ssh.Forward(int(port), f"127.0.0.1:{port}"),) if name and loopback(name) else ()
    return ssh.reach(
        os.environ.get(SSH_VARIABLE, "ssh"),
        environment.host,
        path,
        local=(ssh.Forward(https, f"{address}:{ports.https}"),),
        remote=lent,
    )


def _await(connection: Background, path: Path, environment: Environment) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while not path.exists():
        if connection.ended:
            raise Refused(
                f"{environment.host} cannot be reached:\n"
                + "\n".join(f"    {line}" for line in connection.said().splitlines()[-10:]),
                next_command=f"ssh {environment.host}",
                code="host-gone",
            )
        if time.monotonic() > deadline:
            raise Refused(
                f"{environment.host} did not answer within {CONNECT_SECONDS:g} s",
                next_command=f"ssh {environment.host}",
                code="host-gone",
            )
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _meant(engine: str | None) -> Iterator[None]:
    """Make `engine` the one that the docker program and the SDK mean."""
    before = os.environ.get(ENGINE_VARIABLE)
    _replaced.append(before)
    _name(engine)
    try:
        yield
    finally:
        _name(before)
        _replaced.pop()


def _own() -> str | None:
    """What the docker program meant before any other host's engine was reached."""
    return _replaced[0] if _replaced else os.environ.get(ENGINE_VARIABLE)


def _name(engine: str | None) -> None:
    if engine is None:
        os.environ.pop(ENGINE_VARIABLE, None)
    else:
        os.environ[ENGINE_VARIABLE] = engine


def _port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
