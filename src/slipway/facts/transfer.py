"""What an engine has of the images of a release, and what it would have to fetch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import docker
from docker.errors import ImageNotFound

from slipway.facts import registry

Chain = tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """An image before it is run: its labels, and the bytes that the engine lacks of it."""

    labels: Mapping[str, str]
    missing: int


def read(
    engine: docker.DockerClient, registry_name: str, references: Mapping[str, str]
) -> dict[str, Known]:
    """What the engine has of each image that is referred to by digest.

    Layers are counted as they are packed in the registry. One counts as there when an image on
    the engine has it on top of the same ones, which is when the engine fetches it not again.
    """
    found: dict[str, Known] = {}
    absent: dict[str, tuple[str, str]] = {}
    for name, reference in references.items():
        repository, _, digest = reference.removeprefix(f"{registry_name}/").partition("@")
        if not digest:
            continue
        try:
            labels = engine.images.get(reference).attrs["Config"].get("Labels") or {}
            found[name] = Known(labels, 0)
        except ImageNotFound:
            absent[name] = (repository, digest)
    chains = _chains(engine) if absent else frozenset()
    for name, (repository, digest) in absent.items():
        image = registry.stored(registry_name, repository, digest)
        layers: Chain = ()
        missing = 0
        for identity, size in image.layers:
            layers = (*layers, identity)
            missing += 0 if layers in chains else size
        found[name] = Known(image.labels, missing)
    return found


def _chains(engine: docker.DockerClient) -> frozenset[Chain]:
    """Every row of layers, from the lowest on, that some image on the engine has."""
    layers = [tuple(each.attrs["RootFS"].get("Layers") or ()) for each in engine.images.list()]
    return frozenset(row[:depth] for row in layers for depth in range(1, len(row) + 1))
