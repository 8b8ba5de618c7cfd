"""What is checked before anything is touched; each check refuses with one message."""

from __future__ import annotations

import errno
import socket

import docker
from docker.errors import ImageNotFound

from slipway.commands.engine import BASE
from slipway.config import names, secrets
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused
from slipway.facts import registry as registry_facts
from slipway.facts.engine import EngineFacts
from slipway.facts.host import HostFacts
from slipway.facts.state import StateFacts
from slipway.facts.target import TargetFacts
from slipway.plans import host as host_plans
from slipway.plans import lock as lock_plans
from slipway.plans.diagnosis import Code


def locks(layout: Layout) -> None:
    """Refuse stale or altered lock files."""
    lock_plans.refuse_stale(layout.root)


def host(facts: HostFacts, *, mend: str) -> None:
    """Refuse an unprepared host; `mend` is the command that prepares it."""
    missing = host_plans.missing(facts)
    if missing:
        lacking = "\n".join(f"  - {each.what}" for each in missing)
        raise Refused(
            f"This host is not prepared. It lacks:\n{lacking}",
            next_command=host_plans.next_command(facts, mend),
        )


def disk(facts: HostFacts, needed_gib: int) -> None:
    """Refuse when images and data would not fit on this machine."""
    _space(facts.machine.disk_free, facts.machine.disk_path, needed_gib)


def other_host(
    facts: TargetFacts, environment: Environment, engine: EngineFacts, name: str
) -> None:
    """Refuse when the host of `environment` has too little space, or its ports are taken."""
    _space(facts.disk_free, f"the engine's disk on {environment.host}", environment.free_disk_gib)
    ours = _published(engine, name)
    for key, port in _ports(environment):
        if port in facts.listening and port not in ours:
            raise _taken(environment.host, name, key, port)


def _space(free_bytes: int, place: str, needed_gib: int) -> None:
    free = free_bytes / host_plans.GIB
    if free < needed_gib:
        raise Refused(
            f"{place} has {free:.1f} GiB free, {needed_gib} GiB are needed",
            next_command="docker system df",
            code=Code.DISK_FULL,
        )


def registry(name: str) -> None:
    """Refuse when the site's registry does not answer."""
    registry_facts.digest(name, "slipway/toolbox", "any")


def ports(environment: Environment, engine: EngineFacts, name: str) -> None:
    """Refuse when a port that the edge needs, and does not have yet, cannot be had."""
    ours = _published(engine, name)
    address = environment.ports.address
    for key, port in _ports(environment):
        if port in ours:
            continue
        match _complaint(address, port):
            case errno.EADDRINUSE:
                raise _taken("this host", name, key, port)
            case errno.EADDRNOTAVAIL:
                raise Refused(
                    f"{address} is not an address of this host "
                    f"(x-slipway/ports/address in infra/compose/environments/{name}.yaml)",
                    next_command="ip address",
                )


def _ports(environment: Environment) -> tuple[tuple[str, int], ...]:
    return (("https", environment.ports.https), ("http", environment.ports.http))


def _published(engine: EngineFacts, name: str) -> set[int]:
    """The ports of the host that the environment's own edge has."""
    return {
        port
        for each in engine.of(names.platform_project(name))
        if each.service in {names.DOOR, *names.EDGES} and each.state == "running"
        for port in each.published
    }


def _taken(host: str, name: str, key: str, port: int) -> Refused:
    return Refused(
        f"Port {port} on {host} is taken by another program, and the edge of "
        f"{name} needs it (x-slipway/ports/{key} in infra/compose/environments/{name}.yaml)",
        next_command=f"ss --listening --tcp --processes 'sport = :{port}'",
        code=Code.PORT_TAKEN,
    )


def supplied_secrets(environment: Environment, state: StateFacts, name: str) -> None:
    """Refuse when a secret that a person must supply is not there."""
    if environment.secrets == "generated":
        return
    missing = [secret for secret in secrets.SECRETS if secret.name not in state.secrets]
    if missing:
        lacking = "\n".join(f"  - {secret.name}: {secret.purpose}" for secret in missing)
        raise Refused(
            f"Secrets of {name} are missing:\n{lacking}",
            next_command=f"invoke secrets.put --env {name} --name {missing[0].name} --file FILE",
            code=Code.SECRET_MISSING,
        )


def base_id(engine: docker.DockerClient) -> str:
    """The id of the base image that every image is built from."""
    try:
        return str(engine.images.get(BASE).id)
    except ImageNotFound as error:
        raise Refused(
            f"The base image {BASE} is not there", next_command="invoke host.prepare"
        ) from error


def _complaint(address: str, port: int) -> int | None:
    """The error number with which the kernel refuses to bind, or None."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        # As the engine's proxy binds it: a connection that is only closing does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno
    return None
