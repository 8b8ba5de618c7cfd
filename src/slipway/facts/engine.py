"""What runs on an environment's Docker engine, read through the docker SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import docker
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container as DockerContainer
from requests.exceptions import RequestException

from slipway.config import names
from slipway.errors import Refused, SlipwayError
from slipway.facts import settings

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
#: What images say, by their ids, which are checksums of it: asked for again and again.
_SAID: WeakKeyDictionary[docker.DockerClient, dict[str, Mapping[str, str]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Probe:
    """One answer of a container's health check: when, its exit code and what it said."""

    time: str
    exit_code: int
    output: str


@dataclass(frozen=True)
class Container:
    """A container of an environment as the engine describes it.

    `settings` is everything it was made with, as words; `defaults` what its image would give it.
    """

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
    published: frozenset[int] = frozenset()
    number: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def serving(self) -> bool:
        """Running, and healthy by its own check."""
        return self.state == "running" and self.health == "healthy"

    @property
    def condition(self) -> str:
        """State and health in one word."""
        return self.health if self.state == "running" and self.health else self.state


@dataclass(frozen=True)
class Running:
    """The containers of one environment."""

    containers: tuple[Container, ...]

    def of(self, project: str) -> tuple[Container, ...]:
        """The containers of one Compose project."""
        return tuple(each for each in self.containers if each.project == project)


@dataclass(frozen=True)
class EngineFacts(Running):
    """Containers, networks and volumes of one environment.

    `internal` are the networks without a way out, `joined` the names of the running containers
    on each network, whoever they belong to, and `one_offs` those that run a command once.
    """

    networks: frozenset[str]
    volumes: frozenset[str]
    internal: frozenset[str] = frozenset()
    joined: Mapping[str, frozenset[str]] = field(default_factory=dict)
    one_offs: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        """Whether anything of the environment is there."""
        return bool(self.containers or self.networks or self.volumes)


@contextmanager
def client() -> Iterator[docker.DockerClient]:
    """A connection to this machine's engine, or to the one that DOCKER_HOST names.

    Raises Refused when no engine answers.
    """
    try:
        connection = docker.from_env(timeout=60)
        # No engine is behind a proxy, and each question would look for one in the environment.
        connection.api.trust_env = False
        connection.ping()
    except DockerException as error:
        raise Refused(
            f"No Docker engine answers: {error}",
            next_command="invoke host.prepare",
            code="engine-gone",
        ) from error
    try:
        yield connection
    except docker.errors.APIError as error:
        raise SlipwayError(f"the engine refused: {error.explanation or error}") from error
    except RequestException as error:
        raise SlipwayError(
            "The Docker engine stopped answering",
            next_command="invoke host.check",
            code="engine-gone",
        ) from error
    finally:
        connection.close()


def running(engine: docker.DockerClient, environment: str) -> Running:
    """Read the containers of `environment` alone: what is looked at again and again."""
    return Running(_containers(engine, _projects_containers(engine, environment)))


def read(engine: docker.DockerClient, environment: str) -> EngineFacts:
    """Read everything on the engine that belongs to `environment`."""
    found = _projects_containers(engine, environment)
    wanted = set(names.networks(environment))
    listed = [each.id or "" for each in engine.networks.list() if each.name in wanted]
    networks = [each for each in map(partial(_network, engine), listed) if each]
    volumes = {each.name or "" for each in engine.volumes.list()}
    return EngineFacts(
        containers=_containers(engine, found),
        networks=frozenset(each["Name"] for each in networks),
        volumes=frozenset(
            volumes
            & {
                *names.volumes(environment),
                *names.tier_volumes(environment),
                *names.watch_volumes(environment),
                *names.log_volumes(environment),
            }
        ),
        internal=frozenset(each["Name"] for each in networks if each["Internal"]),
        joined={
            each["Name"]: frozenset(
                joined["Name"] for joined in (each.get("Containers") or {}).values()
            )
            for each in networks
        },
        one_offs=frozenset(each.name or "" for each in found if _one_off(each)),
    )


def _containers(
    engine: docker.DockerClient, found: Sequence[DockerContainer]
) -> tuple[Container, ...]:
    defaults = {
        image: _defaults(engine, image) for image in {each.attrs["Image"] for each in found}
    }
    made = [
        _container(each.attrs, defaults[each.attrs["Image"]])
        for each in found
        if not _one_off(each)
    ]
    return tuple(sorted(made, key=lambda each: each.name))


def _network(engine: docker.DockerClient, identity: str) -> dict[str, Any]:
    """A network with who is on it; nothing when it went since it was listed."""
    try:
        return dict(engine.api.inspect_network(identity))
    except NotFound:
        return {}


def _defaults(engine: docker.DockerClient, image: str) -> Mapping[str, str]:
    """What the image of a container says; nothing where it was removed by force."""
    said = _SAID.setdefault(engine, {})
    if image not in said:
        try:
            said[image] = settings.of_image(engine.images.get(image).attrs)
        except ImageNotFound:
            return {}
    return said[image]


def toolbox(engine: docker.DockerClient, registry: str) -> str:
    """The newest toolbox image on the engine: whoever released from there left one.

    Raises Refused when there is none.
    """
    found = newest(engine, registry, "toolbox")
    if found is None:
        raise Refused(
            "The engine has no toolbox image, through which the state is read",
            next_command="invoke build --service toolbox",
        )
    return found


def newest(engine: docker.DockerClient, registry: str, image: str) -> str | None:
    """The newest image of this name on the engine, whoever brought it; None without any."""
    found = engine.api.images(name=f"{registry}/slipway/{image}")
    last = max(found, key=lambda each: each["Created"], default=None)
    return None if last is None else str(next(iter(last.get("RepoDigests") or ()), last["Id"]))


def has_image(engine: docker.DockerClient, reference: str) -> bool:
    """Whether the engine has an image and need not pull it."""
    try:
        engine.images.get(reference)
    except ImageNotFound:
        return False
    return True


def labels(engine: docker.DockerClient, reference: str) -> dict[str, str]:
    """The labels of an image; none where the engine does not have it."""
    try:
        return dict(engine.images.get(reference).attrs["Config"].get("Labels") or {})
    except ImageNotFound:
        return {}


def labels_of(engine: docker.DockerClient, repository: str) -> list[dict[str, str]]:
    """The labels of each image of a repository that the engine has, whoever brought it."""
    return [dict(each.get("Labels") or {}) for each in engine.api.images(name=repository)]


def one_offs(engine: docker.DockerClient, environment: str) -> list[DockerContainer]:
    """The containers of one-shot runs that nobody waits for any more, or that still run."""
    return [each for each in _projects_containers(engine, environment) if _one_off(each)]


def _projects_containers(engine: docker.DockerClient, environment: str) -> list[DockerContainer]:
    """The environment's containers; those of others, of which there may be many, are not read."""
    listed = engine.api.containers(all=True, filters={"label": PROJECT_LABEL})
    found = []
    for each in listed:
        if names.owns(environment, each["Labels"][PROJECT_LABEL]):
            # Gone since it was listed.
            with suppress(NotFound):
                found.append(engine.containers.get(each["Id"]))
    return found


def _one_off(container: DockerContainer) -> bool:
    return container.labels.get(ONE_OFF_LABEL) == "True"


def _container(attributes: dict[str, Any], defaults: Mapping[str, str]) -> Container:
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
        published=frozenset(
            int(binding["HostPort"])
            for bindings in (attributes["HostConfig"].get("PortBindings") or {}).values()
            for binding in bindings or ()
            # Empty where a person let the engine choose one.
            if binding["HostPort"]
        ),
        number=int(labels.get(NUMBER_LABEL, 1)),
        settings=settings.running(attributes),
        defaults=defaults,
    )
