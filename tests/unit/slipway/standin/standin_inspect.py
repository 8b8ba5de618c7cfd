"""What an engine says of a container that was made from a Compose service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What the images of the stand-in say, for containers that say nothing themselves.
IMAGE = {"Env": ["PATH=/usr/bin", "LANG=C.UTF-8"], "Entrypoint": ["slipway"], "Cmd": ["help"]}
LAYERS = {"Type": "layers", "Layers": ["sha256:base", "sha256:python"]}
SHARED_MEMORY = 64 << 20


def configured(service: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an inspection that an image has as well."""
    environment = dict(entry.split("=", 1) for entry in IMAGE["Env"])
    stated = service.get("environment") or {}
    environment |= {key: value for key, value in stated.items() if value is not None}
    return {
        "Image": service["image"],
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Cmd": service.get("command") or (None if service.get("entrypoint") else IMAGE["Cmd"]),
        "Entrypoint": service.get("entrypoint") or IMAGE["Entrypoint"],
        "User": service.get("user") or "",
        "StopSignal": service.get("stop_signal") or "",
        "StopTimeout": int(nanoseconds(service["stop_grace_period"]) / 1e9),
        "Healthcheck": _health(service["healthcheck"]),
    }


def hosted(service: Mapping[str, Any]) -> dict[str, Any]:
    """How the host confines it."""
    tmpfs = dict(entry.split(":", 1) for entry in service.get("tmpfs") or ())
    ports: dict[str, list[dict[str, str]]] = {}
    for port in service.get("ports") or ():
        binding = {"HostIp": port["host_ip"], "HostPort": port["published"]}
        ports[f"{port['target']}/{port['protocol']}"] = [binding]
    return {
        "Memory": int(service["mem_limit"]),
        "NanoCpus": int(service["cpus"] * 1e9),
        "ShmSize": int(service.get("shm_size") or SHARED_MEMORY),
        "PidsLimit": service["pids_limit"],
        "ReadonlyRootfs": service["read_only"],
        "Init": service["init"],
        "Privileged": False,
        "CapAdd": service.get("cap_add"),
        "CapDrop": service["cap_drop"],
        "SecurityOpt": service["security_opt"],
        "RestartPolicy": {"Name": service["restart"], "MaximumRetryCount": 0},
        "Tmpfs": tmpfs,
        "PortBindings": ports,
        "LogConfig": {
            "Type": service["logging"]["driver"],
            "Config": service["logging"]["options"],
        },
    }


def mounts(service: Mapping[str, Any], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The volumes that it sees, and what of the host; only volumes have a name."""
    return [
        {
            "Type": mount["type"],
            **_source(mount, document),
            "Destination": mount["target"],
            "RW": not mount.get("read_only"),
        }
        for mount in service.get("volumes") or ()
    ]


def _source(mount: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, str]:
    if mount["type"] == "bind":
        return {"Source": mount["source"]}
    named = document["volumes"][mount["source"]]["name"]
    return {"Name": named, "Source": "/var/lib/docker/volumes"}


def networks(
    service: Mapping[str, Any], document: Mapping[str, Any], address: str
) -> dict[str, Any]:
    """The networks that it is on; Compose adds the service's name to the aliases."""
    return {
        document["networks"][key]["name"]: {
            "IPAddress": address,
            "Aliases": ["compose-adds-this", *((joined or {}).get("aliases") or ())],
        }
        for key, joined in service["networks"].items()
    }


def nanoseconds(duration: str) -> int:
    """A duration as Compose writes it."""
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", duration)
    return sum(int(number) * units[unit] for number, unit in parts) * 10**9


def _health(check: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Test": check["test"],
        "Interval": nanoseconds(check["interval"]),
        "Timeout": nanoseconds(check["timeout"]),
        "StartPeriod": nanoseconds(check["start_period"]),
        "StartInterval": nanoseconds(check["start_interval"]),
        "Retries": check["retries"],
    }
