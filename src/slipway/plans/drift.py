"""How far a running environment is from what was released: attribute by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.config import names, secrets
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import settings

HIDDEN = "(hidden)"
ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """One attribute that is not as it was released; None stands for one that is not there."""

    subject: str
    attribute: str
    released: str | None
    found: str | None

    def __str__(self) -> str:
        before, after = self.shown
        return f"{self.subject}: {self.attribute}: {before} -> {after}"

    @property
    def shown(self) -> tuple[str, str]:
        """Both values for a person; those of what may be a secret are hidden."""
        key = self.attribute.removeprefix("environment ")
        hidden = key != self.attribute and secrets.hidden(key)
        before, after = (
            ABSENT if value is None else HIDDEN if hidden else secrets.without_password(value)
            for value in (self.released, self.found)
        )
        return before, after

    def plain(self) -> dict[str, str]:
        """The same for a program."""
        before, after = self.shown
        return {
            "subject": self.subject,
            "attribute": self.attribute,
            "released": before,
            "found": after,
        }


def drift(
    environment: str, engine: EngineFacts, state: StateFacts, active: int | None
) -> tuple[Difference, ...] | None:
    """Compare platform and active generation with their rendered configurations.

    None when no configuration is kept, as in an environment that was released by a version of
    Slipway that kept none, or never.
    """
    stacks = [(names.platform_project(environment), state.rendered.get("platform.json"))]
    if active is not None:
        project = names.generation_project(environment, active)
        stacks.append((project, state.rendered.get(f"g{active}/app.json")))
    if any(document is None for _, document in stacks):
        return None
    interrupted = bool(state.journal)
    found = [
        each
        for project, document in stacks
        for each in _stack(engine.of(project), project, document or {}, interrupted)
    ]
    return (*found, *_ground(environment, engine))


def subjects(differences: tuple[Difference, ...] | None) -> frozenset[str]:
    """The names of what drifted."""
    return frozenset(each.subject for each in differences or ())


def _stack(
    containers: tuple[Container, ...], project: str, document: Mapping[str, Any], interrupted: bool
) -> Iterator[Difference]:
    for name, service in sorted(document["services"].items()):
        wanted_hash = service["labels"][names.CONFIG_LABEL]
        there = [each for each in containers if each.service == name]
        if interrupted and any(each.config_hash != wanted_hash for each in there):
            # Half of a release is no drift: the next one goes on from here.
            continue
        scale = int(service.get("scale", 1))
        if len(there) != scale:
            yield Difference(f"{project} {name}", "containers", str(scale), str(len(there)))
        for each in there:
            yield from _container(each, project, service, document)
    for each in containers:
        if each.service not in document["services"]:
            yield Difference(each.name, "container", None, each.image)


def _container(
    container: Container, project: str, service: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Difference]:
    name = f"{project}-{container.service}-{container.number}"
    if container.name != name:
        yield Difference(container.name, "name", name, container.name)
    if container.state != "running":
        yield Difference(container.name, "state", "running", container.state)
    stated = settings.described(service, document)
    defaults = dict(container.defaults)
    if "entrypoint" in stated:
        # The engine forgets the image's command when the entry point is another.
        defaults.pop("command", None)
    wanted = defaults | stated
    for attribute in sorted(wanted.keys() | container.settings.keys()):
        before, after = wanted.get(attribute), container.settings.get(attribute)
        # The engine and Compose give aliases, and time to stop, of their own.
        unasked = before is None and attribute.startswith(("alias ", "stop "))
        if before != after and not unasked:
            yield Difference(container.name, attribute, before, after)


def _ground(environment: str, engine: EngineFacts) -> Iterator[Difference]:
    for name in names.volumes(environment):
        if name not in engine.volumes:
            yield Difference(name, "volume", "there", None)
    for short in names.NETWORKS:
        name = names.network(environment, short)
        found = engine.joined.get(name)
        if name not in engine.networks:
            yield Difference(name, "network", "there", None)
            continue
        internal = short in names.INTERNAL_NETWORKS
        if (name in engine.internal) != internal:
            before, after = ("no", "yes") if internal else ("yes", "no")
            yield Difference(name, "way out", before, after)
        ours = {each.name for each in engine.containers} | engine.one_offs
        for stranger in sorted((found or frozenset()) - ours if internal else ()):
            yield Difference(name, "container", None, stranger)
