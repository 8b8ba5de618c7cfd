"""A container's settings as a flat table of words, from what the engine says of it.

`slipway.plans.settings` makes the same table of a service, so that the two can be compared.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NO_LIMIT = "no limit"
_SWITCHES = {"ReadonlyRootfs": "read-only", "Init": "init", "Privileged": "privileged"}


def running(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Each setting of a container by name, as text; `attributes` is what `docker inspect` says."""
    return dict(_running(attributes))


def of_image(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a container of this image has when nothing is said."""
    return dict(_configured(attributes.get("Config") or {}))


def _running(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, host = attributes["Config"], attributes["HostConfig"]
    yield "image", config["Image"]
    yield from _configured(config)
    yield "memory", bytes_text(host.get("Memory") or 0)
    yield "cpus", cpus_text((host.get("NanoCpus") or 0) / 1e9)
    yield "shared memory", bytes_text(host.get("ShmSize") or 0)
    limit = host.get("PidsLimit") or 0
    yield "processes", str(limit) if limit > 0 else NO_LIMIT
    for key, name in _SWITCHES.items():
        yield name, "yes" if host.get(key) else "no"
    for key, name in (("CapAdd", "added"), ("CapDrop", "dropped")):
        yield f"capabilities {name}", capabilities_text(host.get(key))
    yield "security options", ", ".join(sorted(host.get("SecurityOpt") or ())) or "none"
    yield "restart", _restart(host.get("RestartPolicy") or {})
    for name, joined in (attributes["NetworkSettings"]["Networks"] or {}).items():
        yield f"network {name}", "joined"
        for alias in (joined or {}).get("Aliases") or ():
            yield f"alias {alias}", name
    for mount in attributes.get("Mounts") or ():
        source = mount.get("Name") or mount.get("Source") or ""
        mode = "writable" if mount.get("RW") else "read-only"
        yield f"mount {mount['Destination']}", f"{mount['Type']} {source} ({mode})"
    for target, options in (host.get("Tmpfs") or {}).items():
        yield f"mount {target}", f"tmpfs {options}".rstrip()
    for port, bindings in (host.get("PortBindings") or {}).items():
        published = ", ".join(f"{each['HostIp']}:{each['HostPort']}" for each in bindings or ())
        yield f"port {port}", published
    if config.get("StopTimeout") is not None:
        yield "stop seconds", seconds_text(config["StopTimeout"])
    logging = host.get("LogConfig") or {}
    if logging:
        options = [f"{key}={value}" for key, value in sorted((logging["Config"] or {}).items())]
        yield "log driver", " ".join((logging["Type"], *options))


def _configured(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an image and a container say in the same words."""
    for key, name in (("Cmd", "command"), ("Entrypoint", "entrypoint")):
        if config.get(key):
            yield name, command_text(config[key])
    for key, name in (("User", "user"), ("StopSignal", "stop signal")):
        if config.get(key):
            yield name, config[key]
    for entry in config.get("Env") or ():
        key, stated, value = entry.partition("=")
        # A name alone is a variable that the container does not have.
        if stated:
            yield f"environment {key}", value
    if (config.get("Healthcheck") or {}).get("Test"):
        yield "health check", _health(config["Healthcheck"])


def _health(check: Mapping[str, Any]) -> str:
    if check["Test"] == ["NONE"]:
        return "none"
    names = ("Interval", "Timeout", "StartPeriod", "StartInterval")
    shown = ("interval", "timeout", "start period", "start interval")
    times = [
        f"{word} {seconds_text(check[name] / 1e9)}"
        for name, word in zip(names, shown, strict=True)
        if check.get(name)
    ]
    retries = [f"retries {check['Retries']}"] if check.get("Retries") else []
    return ", ".join([command_text(check["Test"]), *times, *retries])


def _restart(policy: Mapping[str, Any]) -> str:
    name = policy.get("Name") or "no"
    retries = policy.get("MaximumRetryCount")
    return f"{name}:{retries}" if retries else name


def command_text(words: str | Sequence[str]) -> str:
    """A command as one line."""
    return words if isinstance(words, str) else shlex.join(words)


def capabilities_text(names: Sequence[str] | None) -> str:
    """Capabilities without the prefix that some engines add."""
    return ", ".join(sorted(name.upper().removeprefix("CAP_") for name in names or ())) or "none"


def bytes_text(count: int) -> str:
    """A limit in MiB where it is a whole number of them."""
    if not count:
        return NO_LIMIT
    return f"{count} bytes" if count % (1 << 20) else f"{count >> 20} MiB"


def cpus_text(count: float) -> str:
    """A number of processors."""
    return f"{count:g}" if count else NO_LIMIT


def seconds_text(seconds: float) -> str:
    """Seconds, without a fraction where there is none."""
    return f"{seconds:g} s"
