"""The data tier of the stand-in engine: who takes writes, and what a member answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

SERVICE = "com.docker.compose.service"


def members(containers: Iterable[Mapping[str, Any]], environment: str) -> list[str]:
    """The members of an environment that run, in the order of their numbers."""
    return sorted(
        each["Config"]["Labels"][SERVICE]
        for each in containers
        if each["State"]["Status"] == "running"
        and each["Config"]["Labels"].get("slipway.environment") == environment
        and any(entry.startswith("MEMBER=") for entry in each["Config"]["Env"])
    )


def elect(primary: str | None, running: list[str], *, another: bool) -> str | None:
    """Who takes the writes: whoever had them, or if `another` may, the first of those that run."""
    if primary in running or (primary is not None and not another):
        return primary
    return next(iter(running), None)


def status(primary: str | None, running: list[str], broken: Mapping[str, str]) -> str:
    """What `slipway-member status` prints; `broken` maps a member to its state."""
    replicas = [each for each in running if each != primary and each not in broken]
    found = []
    for name in running:
        role = "leader" if name == primary else "replica"
        if replicas[:1] == [name]:
            role = "sync_standby"
        state = broken.get(name, "running" if role == "leader" else "streaming")
        entry = {"name": name, "role": role, "state": state, "timeline": 3}
        found.append(entry if role == "leader" else {**entry, "lag": 0})
    return json.dumps({"cluster": {"members": found}, "synchronous": True, "member": running[0]})
