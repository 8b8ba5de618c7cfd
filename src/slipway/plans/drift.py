"""How far a running environment is from what was released: attribute by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slipway.config import names
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import settings
from slipway.plans.differences import Difference, between


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
        if interrupted and each.service in names.EDGES:
            # One of the two, half way through a hand-over.
            continue
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
    for each in between(container.name, wanted, container.settings):
        # The engine and Compose give aliases, and time to stop, of their own.
        if each.before is not None or not each.attribute.startswith(("alias ", "stop ")):
            yield each


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
