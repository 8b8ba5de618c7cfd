"""A stack cut out of an environment's resolved project, with the hashes that tell a change."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.config import backup, logs, members, monitoring, names, secrets
from slipway.config.secrets import Parts

STACK_LABEL = "slipway.stack"
# The networks on the two sides of the door.
FRONT, ROUTED = "front", "routed"


@dataclass(frozen=True)
class Stack:
    """One Compose project to run: its document, and per service a hash of all that shapes it."""

    project: str
    document: Mapping[str, Any]
    hashes: Mapping[str, str]

    def text(self) -> str:
        """The document as JSON, which every YAML reader takes."""
        return json.dumps(self.document, indent=1, sort_keys=True)

    def replicas(self, service: str) -> int:
        """How many containers the service has."""
        return int(self.document["services"][service].get("scale", 1))


def with_second_edge(resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The project with a second edge like the first, but for its name and its volume."""
    first, second = names.EDGES
    if first not in resolved["services"]:
        return resolved
    service = copy.deepcopy(resolved["services"][first])
    for volume in service["volumes"]:
        if volume["source"] == first:
            volume["source"] = second
    kept = resolved["volumes"][first]
    return {
        **resolved,
        "services": {**resolved["services"], second: service},
        "volumes": {
            **resolved["volumes"],
            second: {**kept, "name": kept["name"].removesuffix(first) + second},
        },
    }


def without_door(resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The project with an edge that publishes the ports itself, and no door."""
    services = dict(resolved["services"])
    door = services.pop(names.DOOR, None)
    if door is None:
        return resolved
    edge = copy.deepcopy(services[names.EDGES[0]])
    networks = dict(edge["networks"])
    networks[FRONT] = networks.pop(ROUTED, None)
    services[names.EDGES[0]] = {**edge, "networks": networks, "ports": door["ports"]}
    return {**resolved, "services": services}


def count(resolved: Mapping[str, Any]) -> int:
    """How many servers the data tier of a project has."""
    return int(resolved["services"].get(members.FIRST, {}).get("scale", 1))


def backed_up(resolved: Mapping[str, Any]) -> bool:
    """Whether a project has a service that backs its data up."""
    return int(resolved["services"].get(backup.SERVICE, {}).get("scale", 0)) > 0


def watched(resolved: Mapping[str, Any]) -> bool:
    """Whether a project has services that watch it."""
    return int(resolved["services"].get(monitoring.PROMETHEUS, {}).get("scale", 0)) > 0


def parts(resolved: Mapping[str, Any]) -> Parts:
    """What decides which secrets the services of a project have."""
    return Parts(members.of(count(resolved)), backed_up(resolved), watched(resolved))


def with_backup(resolved: Mapping[str, Any], parts: Parts) -> Mapping[str, Any]:
    """The project with a backup service that knows every server, or without one."""
    if backup.SERVICE not in resolved["services"]:
        # Of a release that knew no backups.
        return resolved
    services = dict(resolved["services"])
    service = copy.deepcopy(services.pop(backup.SERVICE))
    if not parts.backups:
        return {**resolved, "services": services}
    del service["scale"]
    service["environment"]["DATABASE_HOSTS"] = ",".join(parts.servers)
    return {**resolved, "services": {**services, backup.SERVICE: service}}


def with_monitoring(resolved: Mapping[str, Any], parts: Parts) -> Mapping[str, Any]:
    """The project with those who watch it, on the networks that there are, or without them."""
    watching = [name for name in monitoring.SERVICES if name in resolved["services"]]
    services = copy.deepcopy(dict(resolved["services"]))
    for name in watching:
        services[name].pop("scale", None)
        if not parts.watched:
            del services[name]
        elif not parts.encrypted:
            # Without replicas and backups nobody is on it, and it is not made.
            services[name]["networks"].pop(names.DATA_NETWORK, None)
    return {**resolved, "services": services}


def with_logs(resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The project with a central log store and its collector, or without them."""
    services = dict(resolved["services"])
    for name in logs.SERVICES:
        service = services.pop(name, None)
        if service is not None and int(service.get("scale", 0)) > 0:
            services[name] = {key: value for key, value in service.items() if key != "scale"}
    return {**resolved, "services": services}


def with_members(resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The project with a service for each member of the data tier, or with the plain server alone.

    A member is like the first, but for its name and its volume. Without replicas there is nothing
    to agree on, so etcd is left out, and without backups the network of both too.
    """
    first = resolved["services"].get(members.FIRST)
    if first is None or "scale" not in first:
        # Of a release that knew no replicas.
        return resolved
    if first["scale"] == 1:
        return _plain(resolved)
    services, volumes = dict(resolved["services"]), dict(resolved["volumes"])
    kept = volumes[members.FIRST]
    for name in members.of(count(resolved)):
        service = copy.deepcopy(first)
        del service["scale"]
        service["environment"] = {**service.get("environment", {}), "MEMBER": name}
        if backed_up(resolved):
            # Every member keeps what the log was read up to, so that a switchover loses nothing.
            service["environment"]["BACKUPS"] = "on"
        # Patroni stops the server, and gives its place away, when it is told to.
        service["stop_signal"] = "SIGTERM"
        for volume in service["volumes"]:
            if volume["source"] == members.FIRST:
                volume["source"] = name
        services[name] = service
        volumes[name] = {**kept, "name": kept["name"].removesuffix(members.FIRST) + name}
    return {**resolved, "services": services, "volumes": volumes}


def _plain(resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    services = {name: each for name, each in resolved["services"].items() if name != members.STORE}
    service = copy.deepcopy(services[members.FIRST])
    del service["scale"]
    service["environment"].pop("SYNCHRONOUS", None)
    if watched(resolved):
        # A plain server makes the role that reads figures when it starts.
        service["environment"]["WATCHED"] = "on"
    if not service["environment"]:
        del service["environment"]
    if not backed_up(resolved):
        service["networks"].pop(names.DATA_NETWORK, None)
    services[members.FIRST] = service
    return {**resolved, "services": services}


def without(stack: Stack, service: str) -> Stack:
    """The same stack, but for one service and the volumes that only it uses."""
    services = {name: each for name, each in stack.document["services"].items() if name != service}
    document = {
        **stack.document,
        "services": services,
        "volumes": _used(stack.document["volumes"], _volumes(services)),
    }
    hashes = {name: each for name, each in stack.hashes.items() if name != service}
    return Stack(stack.project, document, hashes)


def cut(
    resolved: Mapping[str, Any],
    stack: str,
    *,
    project: str,
    environment: str,
    release: str,
    fingerprints: Mapping[str, str],
    generation: int | None = None,
) -> Stack:
    """The services of `stack`, labelled with their hashes, as a project of their own.

    The hash covers what the service is resolved to and the fingerprints of its secrets. It does
    not cover the generation's number, so that the same app in two generations hashes alike.
    """
    services: dict[str, Any] = {}
    hashes: dict[str, str] = {}
    known_parts = parts(resolved)
    servers = len(known_parts.servers)
    resolved = with_backup(with_members(with_second_edge(resolved)), known_parts)
    resolved = with_logs(with_monitoring(resolved, known_parts))
    for name, service in resolved["services"].items():
        if service.get("labels", {}).get(STACK_LABEL) != stack:
            continue
        known = secrets.fingerprint(name, fingerprints, known_parts)
        if servers > 1 and known and stack != "platform":
            # Who reads secrets is told the members there: a change of theirs is a change of its.
            known += f",servers={servers}"
        hashes[name] = _hash(service, generation, known)
        labelled = copy.deepcopy(service)
        labelled["labels"] |= {
            names.CONFIG_LABEL: hashes[name],
            names.ENVIRONMENT_LABEL: environment,
            names.RELEASE_LABEL: release,
        }
        services[name] = labelled
    return Stack(
        project=project,
        document={
            "name": project,
            "services": services,
            "networks": _used(resolved.get("networks", {}), _networks(services)),
            "volumes": _used(resolved.get("volumes", {}), _volumes(services)),
        },
        hashes=hashes,
    )


def _hash(service: Mapping[str, Any], generation: int | None, fingerprint: str) -> str:
    content = copy.deepcopy(dict(service))
    if generation is not None:
        content.get("environment", {}).pop("GENERATION", None)
        for network in content.get("networks", {}).values():
            if network:
                network.pop("aliases", None)
    canonical = json.dumps([content, fingerprint], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _networks(services: Mapping[str, Any]) -> set[str]:
    return {name for service in services.values() for name in service.get("networks", {})}


def _volumes(services: Mapping[str, Any]) -> set[str]:
    return {
        volume["source"]
        for service in services.values()
        for volume in service.get("volumes", ())
        if volume["type"] == "volume"
    }


def _used(section: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name in used}
