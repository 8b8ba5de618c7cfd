"""What an earlier release was, as far as environment, engine and registry still have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker

from slipway import console, edge
from slipway.commands import engine as commands
from slipway.config import members, names
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts import migrations as migration_facts
from slipway.facts import registry as registry_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import EngineFacts
from slipway.facts.migrations import Revision
from slipway.plans import rollback as plans
from slipway.run import run

PULL_SECONDS = 900.0


@dataclass(frozen=True)
class Way:
    """An earlier release: its ledger line's number, its version, images and configuration.

    `resolved` is None for one that did not keep its configuration; `manifest` is the digest of its
    manifest, empty where the line names none. `gone` are the images that nobody has any more.
    """

    number: int
    version: str
    images: Mapping[str, str]
    resolved: Mapping[str, Any] | None
    manifest: str = ""
    gone: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether there is such a release, and every image of it."""
        return bool(self.images) and not self.gone

    @property
    def origin(self) -> dict[str, str]:
        """The members of the ledger's line that tell where the release comes from."""
        return {"manifest": self.manifest} if self.manifest else {}


def find(
    name: str,
    engine: docker.DockerClient,
    registry: str,
    toolbox: str,
    version: str,
    *,
    data: bool = False,
) -> Way:
    """The release that a rollback goes back to; `version` names another than the one before.

    With `data` the database goes back too. Raises Refused when there is no such release, when an
    image of it was pruned, or when the database has since lost what its code needs.
    """
    running = engine_facts.read(engine, name)
    volume = names.state_volume(name)
    if volume not in running.volumes:
        raise Refused(f"{name} was never released", next_command=f"invoke release --env {name}")
    known = state_facts.read(toolbox, volume, history=0)
    active = edge.active(name, running)
    line = plans.target(name, known.ledger, known.journal, active, version)
    way = _whole(name, _way(name, engine, registry, toolbox, line))
    if not data:
        _refuse_contracted(engine, running, registry, way.version, way.images)
    return way


def current(
    name: str, engine: docker.DockerClient, registry: str, toolbox: str, *, whole: bool = True
) -> Way:
    """The release that was finished last.

    Where it has to be `whole`, raises Refused when there is none, or an image of it is gone.
    """
    known = state_facts.read(toolbox, names.state_volume(name), history=0)
    if known.committed is None and not whole:
        return Way(0, "", {}, None)
    if known.committed is None:
        raise Refused(
            f"{name} has no finished release", next_command=f"invoke release --env {name}"
        )
    way = _way(name, engine, registry, toolbox, known.committed)
    return _whole(name, way) if whole else way


def _way(
    name: str,
    engine: docker.DockerClient,
    registry: str,
    toolbox: str,
    line: Mapping[str, Any],
) -> Way:
    """What a line of the ledger released; its images are on the engine, or nobody has them."""
    images = dict(line["images"])
    gone = _bring(engine, registry, images)
    # Nothing goes back with the door: it stays as it is.
    images.pop(names.DOOR, None)
    path = state_facts.configuration(line.get("configuration", ""))
    resolved = state_facts.files(toolbox, names.state_volume(name), [path]).get(path)
    if resolved is None:
        console.warn(
            f"release {line['version']} did not keep its configuration: its images are taken "
            "with the Compose files of this checkout"
        )
    manifest = str(line.get("manifest", ""))
    number, version = int(line["number"]), str(line["version"])
    return Way(number, version, images, resolved, manifest, gone)


def _whole(name: str, way: Way) -> Way:
    """The way, every image of which is there. Raises Refused where one is not."""
    if way.gone:
        raise Refused(
            f"{way.version} cannot be put back: neither engine nor registry has "
            f"{', '.join(way.gone)}",
            next_command=f"invoke history --env {name}",
        )
    return way


def _bring(
    engine: docker.DockerClient, registry: str, images: Mapping[str, str]
) -> tuple[str, ...]:
    """Fetch what the engine has lost; the names of what the registry has lost too."""
    lost = gone(engine, registry, images)
    for image, reference in sorted(images.items()):
        if image not in lost and not engine_facts.has_image(engine, reference):
            run(commands.pull(reference), timeout=PULL_SECONDS)
    return lost


def gone(engine: docker.DockerClient, registry: str, images: Mapping[str, str]) -> tuple[str, ...]:
    """The names of those images that neither engine nor registry has."""

    def there(reference: str) -> bool:
        repository, _, digest = reference.removeprefix(f"{registry}/").partition("@")
        return (
            engine_facts.has_image(engine, reference)
            or registry_facts.digest(registry, repository, digest) is not None
        )

    return tuple(image for image, reference in sorted(images.items()) if not there(reference))


def _refuse_contracted(
    engine: docker.DockerClient,
    running: EngineFacts,
    registry: str,
    version: str,
    images: Mapping[str, str],
) -> None:
    database = next(
        (
            each.id
            for each in running.containers
            if each.service in members.MEMBERS and each.serving
        ),
        None,
    )
    if database is None:
        return
    knows = migration_facts.of_labels(engine_facts.labels(engine, images["backend"]))
    told = _told(engine, running, registry)
    plans.refuse_contracted(version, knows, told, migration_facts.of_database(database))


def _told(engine: docker.DockerClient, running: EngineFacts, registry: str) -> list[Revision]:
    """The schema changes that any backend image on the engine names, what runs among them."""
    used = {each.image for each in running.containers if each.service == "backend"}
    labels = [engine_facts.labels(engine, each) for each in used]
    labels += engine_facts.labels_of(engine, f"{registry}/slipway/backend")
    return [change for each in labels for change in migration_facts.of_labels(each) or ()]
