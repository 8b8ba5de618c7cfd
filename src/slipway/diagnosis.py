"""Why a container is not healthy, in one block for the person who has to mend it."""

from __future__ import annotations

from collections.abc import Sequence

import docker

from slipway.facts.engine import Container

LOG_LINES = 50
PROBES = 3


def explain(engine: docker.DockerClient, containers: Sequence[Container]) -> str:
    """For each container that does not serve: state, exit code, last probes, last log lines."""
    blocks = []
    for container in containers:
        if container.serving:
            continue
        log = engine.containers.get(container.id).logs(tail=LOG_LINES).decode(errors="replace")
        blocks.append(describe(container, log.splitlines()))
    return "\n".join(blocks) or "every container that is there is healthy; some are missing"


def describe(container: Container, log: Sequence[str]) -> str:
    """One container's block."""
    lines = [f"  {container.name} is {container.condition} ({reason(container)})"]
    lines += [
        f"    probe at {probe.time[:19]}: exit code {probe.exit_code}: {probe.output[:300]}"
        for probe in container.probes[-PROBES:]
        if probe.exit_code != 0
    ]
    lines += ["    last log lines:" if log else "    it logged nothing"]
    lines += [f"      {line}" for line in log]
    return "\n".join(lines)


def reason(container: Container) -> str:
    """The engine's account of how a container fares."""
    if container.out_of_memory:
        return f"ended for want of memory: its limit is {container.memory_limit >> 20} MiB"
    again = f"started again {container.restarts} times" if container.restarts else ""
    if container.state != "running":
        return ", ".join(filter(None, (f"exit code {container.exit_code}", again)))
    if again:
        # Seen in the moment between two ends: its exit code is not to be had then.
        return again
    return "running, but its health check fails" if container.probes else "not checked yet"
