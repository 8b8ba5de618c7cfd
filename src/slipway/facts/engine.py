"""What runs on an environment's Docker engine, read through the docker SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from slipway.config import names
from slipway.errors import Refused, SlipwayError

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"


@dataclass(frozen=True)
class Probe:
    """One answer of a container's health check: when, its exit code and what it said."""

    time: str
    exit_code: int
    output: str


@dataclass(frozen=True)
class Container:
    """A container of an environment as the engine describes it."""

    id: str
    name: str
    project: str
    service: str
    image: str
    config_hash: str
    release: str
    state: str
    health: str
    exit_code: int
    out_of_memory: bool
    restarts: int
    started: str
    memory_limit: int
    probes: tuple[Probe, ...]

    @property
    def serving(self) -> bool:
        """Running, and healthy by its own check."""
        return self.state == "running" and self.health == "healthy"

    @property
    def condition(self) -> str:
        """State and health in one word."""
        return self.health if self.state == "running" and self.health else self.state


@dataclass(frozen=True)
class EngineFacts:
    """Containers, networks and volumes of one environment."""

    containers: tuple[Container, ...]
    networks: frozenset[str]
    volumes: frozenset[str]

    @property
    def any(self) -> bool:
        """Whether anything of the environment is there."""
        return bool(self.containers or self.networks or self.volumes)

    def of(self, project: str) -> tuple[Container, ...]:
        """The containers of one Compose project."""
        return tuple(each for each in self.containers if each.project == project)


@contextmanager
def client() -> Iterator[docker.DockerClient]:
    """A connection to this machine's engine, or to the one that DOCKER_HOST names.

    Raises Refused when no engine answers.
    """
    try:
        connection = docker.from_env(timeout=60)
        connection.ping()
    except DockerException as error:
        raise Refused(
            f"No Docker engine answers: {error}", next_command="invoke host.prepare"
        ) from error
    try:
        yield connection
    except docker.errors.APIError as error:
        raise SlipwayError(f"the engine refused: {error.explanation or error}") from error
    except RequestException as error:
        raise SlipwayError(
            "The Docker engine stopped answering", next_command="invoke host.check"
        ) from error
    finally:
        connection.close()


def read(engine: docker.DockerClient, environment: str) -> EngineFacts:
    """Read everything on the engine that belongs to `environment`."""
    prefix = names.prefix(environment)
    containers = []
    for container in engine.containers.list(
        all=True, filters={"label": PROJECT_LABEL}, ignore_removed=True
    ):
        labels = container.labels
        if labels[PROJECT_LABEL].startswith(prefix) and labels.get(ONE_OFF_LABEL) != "True":
            containers.append(_container(container.attrs))
    return EngineFacts(
        containers=tuple(sorted(containers, key=lambda each: each.name)),
        networks=frozenset(
            name for each in engine.networks.list() if (name := each.name or "").startswith(prefix)
        ),
        volumes=frozenset(
            name for each in engine.volumes.list() if (name := each.name or "").startswith(prefix)
        ),
    )


def _container(attributes: dict[str, Any]) -> Container:
    state = attributes["State"]
    config = attributes["Config"]
    labels = config["Labels"]
    health = state.get("Health") or {}
    return Container(
        id=attributes["Id"],
        name=attributes["Name"].removeprefix("/"),
        project=labels[PROJECT_LABEL],
        service=labels.get(SERVICE_LABEL, ""),
        image=config["Image"],
        config_hash=labels.get(names.CONFIG_LABEL, ""),
        release=labels.get(names.RELEASE_LABEL, ""),
        state=state["Status"],
        health=health.get("Status", ""),
        exit_code=state["ExitCode"],
        out_of_memory=state["OOMKilled"],
        restarts=attributes["RestartCount"],
        started=state["StartedAt"],
        memory_limit=attributes["HostConfig"]["Memory"],
        probes=tuple(
            Probe(time=entry["Start"], exit_code=entry["ExitCode"], output=entry["Output"].strip())
            for entry in health.get("Log") or ()
        ),
    )
