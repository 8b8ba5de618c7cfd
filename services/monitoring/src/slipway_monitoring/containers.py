"""The environment's containers, in the words of the product: service, generation, instance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SERVICE = "com.docker.compose.service"
PROJECT = "com.docker.compose.project"
ONE_OFF = "com.docker.compose.oneoff"
#: The engine's time of what has not happened.
NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Container:
    """One container; `generation` is empty for the platform, `healthy` None without a check.

    `addresses` are those of its networks, by the networks' short names. Limits are 0 where there
    is none; times are seconds since the epoch, 0 for what has not happened.
    """

    identity: str
    service: str
    generation: str
    instance: str
    release: str
    running: bool
    healthy: bool | None
    out_of_memory: bool
    exit_code: int
    restarts: int
    created: float
    started: float
    memory_limit: int
    cpu_limit: float
    addresses: Mapping[str, str]


@dataclass(frozen=True)
class Used:
    """What a container has used since it started, and holds now: seconds, bytes, processes."""

    cpu_seconds: float
    throttled_seconds: float
    memory_bytes: int
    received_bytes: int
    sent_bytes: int
    read_bytes: int
    written_bytes: int
    processes: int


def parse(environment: str, told: Mapping[str, Any]) -> Container | None:
    """A container of a service; None for what is none, or runs a command once."""
    labels = told["Config"].get("Labels") or {}
    if SERVICE not in labels or labels.get(ONE_OFF) == "True":
        return None
    prefix = f"slipway-{environment}-"
    project = labels.get(PROJECT, "")
    found = re.fullmatch(re.escape(prefix) + r"g(\d+)", project)
    state, host = told["State"], told["HostConfig"]
    health = (state.get("Health") or {}).get("Status")
    networks = (told.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        identity=told["Id"],
        service=labels[SERVICE],
        generation=found[1] if found else "",
        instance=told["Name"].removeprefix("/").removeprefix(prefix).removeprefix("platform-"),
        release=labels.get("slipway.release", ""),
        running=bool(state.get("Running")),
        healthy=None if health in {None, "none", "starting"} else health == "healthy",
        out_of_memory=bool(state.get("OOMKilled")),
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(told.get("RestartCount") or 0),
        created=_time(told.get("Created", NEVER)),
        started=_time(state.get("StartedAt", NEVER)),
        memory_limit=int(host.get("Memory") or 0),
        cpu_limit=(host.get("NanoCpus") or 0) / 1e9,
        addresses={
            name.removeprefix(prefix): each["IPAddress"]
            for name, each in networks.items()
            if each.get("IPAddress")
        },
    )


def used(told: Mapping[str, Any]) -> Used | None:
    """What a container used; None where the engine knows nothing, as of a stopped one."""
    cpu = (told.get("cpu_stats") or {}).get("cpu_usage") or {}
    memory = told.get("memory_stats") or {}
    if not memory.get("usage"):
        return None
    throttled = (told["cpu_stats"].get("throttling_data") or {}).get("throttled_time") or 0
    networks = (told.get("networks") or {}).values()
    return Used(
        cpu_seconds=(cpu.get("total_usage") or 0) / 1e9,
        throttled_seconds=throttled / 1e9,
        memory_bytes=memory["usage"] - _reclaimable(memory.get("stats") or {}),
        received_bytes=sum(each["rx_bytes"] for each in networks),
        sent_bytes=sum(each["tx_bytes"] for each in networks),
        read_bytes=sum(_transferred(told, "read")),
        written_bytes=sum(_transferred(told, "write")),
        processes=int((told.get("pids_stats") or {}).get("current") or 0),
    )


def _reclaimable(statistics: Mapping[str, int]) -> int:
    # Files that the kernel drops when it needs room; cgroup 1 counts children apart.
    return int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))


def _transferred(told: Mapping[str, Any], operation: str) -> Iterator[int]:
    entries = (told.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return (each["value"] for each in entries if each["op"].lower() == operation)


def _time(text: str) -> float:
    if text == NEVER:
        return 0.0
    # Nanoseconds are more digits than a datetime takes.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()
