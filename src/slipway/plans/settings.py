"""A service's settings as a flat table of words, from what Compose resolved.

`slipway.facts.settings` makes the same table of a container, so that the two can be compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from slipway.facts.settings import (
    NO_LIMIT,
    bytes_text,
    capabilities_text,
    command_text,
    cpus_text,
    seconds_text,
)

# Settings that have a line of their own below; any other is shown as it was resolved.
KNOWN = frozenset(
    (
        *("image", "command", "entrypoint", "user", "environment", "labels", "scale", "restart"),
        *("mem_limit", "cpus", "shm_size", "pids_limit", "read_only", "init", "privileged"),
        *("cap_add", "cap_drop", "security_opt", "networks", "volumes", "tmpfs", "ports"),
        *("stop_signal", "stop_grace_period", "healthcheck", "logging"),
    )
)
# What Docker gives a container that asks for nothing.
SHARED_MEMORY = 64 << 20
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def described(service: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, str]:
    """Each setting of a service in `document` by name, as text; its labels are not among them.

    Compose prints every dollar sign doubled, and makes one of the two when it reads that again.
    """
    return {name: text.replace("$$", "$") for name, text in _described(service, document)}


def others(service: Mapping[str, Any]) -> dict[str, str]:
    """Settings that only a change of files shows, because containers are not compared in them."""
    return {
        key: json.dumps(value, sort_keys=True)
        for key, value in service.items()
        if key not in KNOWN and value not in (None, [], {})
    }


def _described(
    service: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    yield "image", service["image"]
    yield from _process(service)
    yield from _limits(service)
    for key, name in (("cap_add", "added"), ("cap_drop", "dropped")):
        yield f"capabilities {name}", capabilities_text(service.get(key))
    yield "security options", _list(service.get("security_opt"))
    yield "restart", str(service.get("restart") or "no")
    yield from _networks(service, document.get("networks", {}))
    yield from _mounts(service, document.get("volumes", {}))
    for port in service.get("ports") or ():
        published = f"{port.get('host_ip', '')}:{port.get('published', '')}"
        yield f"port {port['target']}/{port.get('protocol', 'tcp')}", published
    logging = service.get("logging") or {}
    if logging:
        yield "log driver", " ".join((logging["driver"], *_pairs(logging.get("options"))))


def _process(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("command", "entrypoint"):
        if service.get(key) is not None:
            yield key, command_text(service[key])
    for key, name in (("user", "user"), ("stop_signal", "stop signal")):
        if service.get(key):
            yield name, str(service[key])
    for key, value in (service.get("environment") or {}).items():
        # One that is only passed through, and was not set, is not there in the container either.
        if value is not None:
            yield f"environment {key}", str(value)
    if service.get("stop_grace_period"):
        yield "stop seconds", seconds_text(seconds(service["stop_grace_period"]))
    if service.get("healthcheck"):
        yield "health check", _health(service["healthcheck"])


def _limits(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "memory", bytes_text(int(service.get("mem_limit") or 0))
    yield "cpus", cpus_text(float(service.get("cpus") or 0))
    yield "shared memory", bytes_text(int(service.get("shm_size") or SHARED_MEMORY))
    yield "processes", str(service.get("pids_limit") or NO_LIMIT)
    for key in ("read_only", "init", "privileged"):
        yield key.replace("_", "-"), _yes(service.get(key))


def _networks(service: Mapping[str, Any], networks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, joined in (service.get("networks") or {}).items():
        name = (networks.get(key) or {}).get("name", key)
        yield f"network {name}", "joined"
        for alias in (joined or {}).get("aliases") or ():
            yield f"alias {alias}", name


def _mounts(service: Mapping[str, Any], volumes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for volume in service.get("volumes") or ():
        source = volume.get("source", "")
        if volume["type"] == "volume":
            source = (volumes.get(source) or {}).get("name", source)
        mode = "read-only" if volume.get("read_only") else "writable"
        yield f"mount {volume['target']}", f"{volume['type']} {source} ({mode})"
    for entry in service.get("tmpfs") or ():
        target, _, options = entry.partition(":")
        yield f"mount {target}", f"tmpfs {options}".rstrip()


def _health(check: Mapping[str, Any]) -> str:
    if check.get("disable"):
        return "none"
    times = [
        f"{key.replace('_', ' ')} {seconds_text(seconds(check[key]))}"
        for key in ("interval", "timeout", "start_period", "start_interval")
        if check.get(key)
    ]
    retries = [f"retries {check['retries']}"] if check.get("retries") else []
    return ", ".join([command_text(check["test"]), *times, *retries])


def seconds(duration: str) -> float:
    """A duration of Compose, such as 2m15s, in seconds."""
    parts = re.findall(r"([\d.]+)(h|ms|us|ns|m|s)", duration)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _pairs(options: Mapping[str, Any] | None) -> list[str]:
    return [f"{key}={value}" for key, value in sorted((options or {}).items())]


def _list(values: Any) -> str:
    return ", ".join(sorted(values or ())) or "none"


def _yes(value: Any) -> str:
    return "yes" if value else "no"
