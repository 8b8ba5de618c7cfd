"""Every image of the product that an engine and the site's registry hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import docker
import httpx

from slipway.facts import registry as registries

#: Signed documents are small, and say what was accepted: they stay.
DOCUMENTS = "slipway/releases"
PREFIX = "slipway/"
REGISTRY_PORT = "5000/tcp"


@dataclass(frozen=True)
class EngineImage:
    """An image on the engine, by its id; `digests` are those by which the registry knows it."""

    identity: str
    references: tuple[str, ...]
    digests: frozenset[str]
    size: int
    created: float
    used: bool


@dataclass(frozen=True)
class RegistryImage:
    """A tagged image in the registry; `size` is that of its packed layers, some maybe shared."""

    repository: str
    digest: str
    size: int
    created: float


def of_engine(engine: docker.DockerClient, registry: str) -> tuple[EngineImage, ...]:
    """The images that came from `registry`, or were built for it."""
    used = {each["ImageID"] for each in engine.api.containers(all=True)}
    wanted = f"{registry}/{PREFIX}"
    found = []
    for each in engine.api.images():
        references = [*(each.get("RepoTags") or ()), *(each.get("RepoDigests") or ())]
        ours = tuple(name for name in references if name.startswith(wanted))
        if ours:
            found.append(
                EngineImage(
                    each["Id"],
                    ours,
                    frozenset(name.partition("@")[2] for name in ours if "@" in name),
                    int(each["Size"]),
                    float(each["Created"]),
                    each["Id"] in used,
                )
            )
    return tuple(found)


def of_registry(registry: str, kept: frozenset[str]) -> tuple[RegistryImage, ...]:
    """The images in `registry` but those that are `kept` anyhow, by their digests.

    Raises Refused when it does not answer.
    """
    found: dict[tuple[str, str], RegistryImage] = {}
    with registries.connected(registry) as http:
        for repository in _repositories(http):
            for tag in _get(http, f"/v2/{repository}/tags/list").get("tags") or ():
                url = f"/v2/{repository}/manifests/{tag}"
                named = http.head(url, headers={"accept": registries.ACCEPT})
                digest = named.headers.get("docker-content-digest", "")
                if not digest or digest in kept or (repository, digest) in found:
                    continue
                manifest = _get(http, f"/v2/{repository}/manifests/{digest}")
                if "config" not in manifest:
                    continue
                config = _get(http, f"/v2/{repository}/blobs/{manifest['config']['digest']}")
                found[repository, digest] = RegistryImage(
                    repository,
                    digest,
                    sum(int(layer["size"]) for layer in manifest.get("layers", ())),
                    _created(config),
                )
    return tuple(found.values())


def delete(registry: str, image: RegistryImage) -> None:
    """Delete an image's manifest, and so its tags; the layers go when garbage is collected."""
    with registries.connected(registry) as http:
        answer = http.delete(f"/v2/{image.repository}/manifests/{image.digest}")
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()


def registry_container(engine: docker.DockerClient, registry: str) -> tuple[str, str] | None:
    """Id and image of the container on the engine that is `registry`; None where there is none."""
    host, _, port = registry.rpartition(":")
    if not registries.loopback(host):
        return None
    for each in engine.containers.list(ignore_removed=True):
        bound = (each.attrs["HostConfig"].get("PortBindings") or {}).get(REGISTRY_PORT) or ()
        if any(binding["HostPort"] == port for binding in bound):
            return each.id or "", str(each.attrs["Image"])
    return None


def _repositories(http: httpx.Client) -> Iterator[str]:
    url: str | None = "/v2/_catalog?n=100"
    while url:
        answer = http.get(url)
        answer.raise_for_status()
        for name in answer.json().get("repositories") or ():
            if name.startswith(PREFIX) and name != DOCUMENTS:
                yield name
        url = answer.links.get("next", {}).get("url")


def _get(http: httpx.Client, url: str) -> dict[str, Any]:
    """The JSON object at a place of the registry; an empty one where there is none."""
    answer = http.get(url, headers={"accept": registries.ACCEPT}, follow_redirects=True)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {}
    answer.raise_for_status()
    found = answer.json()
    assert isinstance(found, dict)
    return found


def _created(config: dict[str, Any]) -> float:
    """When an image was built, in seconds since the epoch; 0 where it does not say."""
    try:
        return datetime.fromisoformat(str(config.get("created", ""))).timestamp()
    except ValueError:
        return 0.0
