"""What things of an environment are called on its engine."""

from __future__ import annotations

import re

from slipway.config import backup, logs, monitoring
from slipway.config.members import FIRST, MEMBERS, SERVICES, STORE
from slipway.config.secrets import CONSUMERS

CONFIG_LABEL = "slipway.config-hash"
ENVIRONMENT_LABEL = "slipway.environment"
RELEASE_LABEL = "slipway.release"
# The engine takes the way out from the first of a container's networks by name: the door's must be
# the one in front.
NETWORKS = ("front", "routed", "edge-app", "app-data", "models")
# Where the data tier has replicas or is backed up: between its members and who backs them up.
DATA_NETWORK = "data"
# Where the environment is watched: between those who watch, and Alertmanager's way out.
WATCH_NETWORKS = ("watch", "alerts")
INTERNAL_NETWORKS = ("edge-app", "app-data", DATA_NETWORK, "watch")
_UNMASKED = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
# The door routes between these two: the engine must not take the gateway's address behind it, and
# must not change the callers' addresses.
NETWORK_OPTIONS = {
    "front": _UNMASKED,
    "routed": {**_UNMASKED, "com.docker.network.bridge.inhibit_ipv4": "true"},
}
DATA_VOLUMES = (FIRST, "files", "edge", "edge-b", "door")
# Those of a data tier with replicas, and the repository of backups.
TIER_VOLUMES = (STORE, *MEMBERS[1:], backup.SERVICE)
# What was measured, which alerts were told and silenced, and what the public page remembers.
WATCH_VOLUMES = (monitoring.PROMETHEUS, monitoring.ALERTMANAGER, monitoring.CONSOLE)
# What was written, and what waits to be kept.
LOG_VOLUMES = logs.SERVICES
# What is changed where it is, one after the other: the data tier, the service that backs it up,
# those that keep the logs, and those that watch.
IN_PLACE = (*SERVICES, backup.SERVICE, *logs.SERVICES, *monitoring.SERVICES)
DOOR = "door"
# One serves; while the edge is replaced, the other runs beside it.
EDGES = ("edge", "edge-b")


def prefix(environment: str) -> str:
    """What every name of an environment begins with."""
    return f"slipway-{environment}-"


def platform_project(environment: str) -> str:
    """The Compose project of the platform."""
    return f"{prefix(environment)}platform"


def generation_project(environment: str, generation: int) -> str:
    """The Compose project of one generation of the app."""
    return f"{prefix(environment)}g{generation}"


def generation_of(environment: str, project: str) -> int | None:
    """The generation whose project this is, or None for any other project."""
    match = re.fullmatch(re.escape(prefix(environment)) + r"g(\d+)", project)
    return int(match[1]) if match else None


def owns(environment: str, project: str) -> bool:
    """Whether a Compose project is this environment's: its platform or one of its generations."""
    return project == platform_project(environment) or (
        generation_of(environment, project) is not None
    )


def other_edge(edge: str) -> str:
    """The edge that is not this one."""
    return EDGES[1 - EDGES.index(edge)]


def networks(environment: str) -> tuple[str, ...]:
    """Every network that an environment can have."""
    return tuple(network(environment, name) for name in (*NETWORKS, DATA_NETWORK, *WATCH_NETWORKS))


def network(environment: str, name: str) -> str:
    """The network `name` of an environment."""
    return prefix(environment) + name


def state_volume(environment: str) -> str:
    """The volume with ledger, lease, journal, secrets and rendered configurations."""
    return f"{prefix(environment)}state"


def secret_volumes(environment: str) -> dict[str, str]:
    """The volume of each consumer of secrets."""
    return {name: f"{prefix(environment)}secrets-{name}" for name in CONSUMERS}


def volumes(environment: str) -> tuple[str, ...]:
    """The volumes that every environment has."""
    return (
        state_volume(environment),
        *(prefix(environment) + name for name in DATA_VOLUMES),
        *secret_volumes(environment).values(),
    )


def tier_volumes(environment: str) -> tuple[str, ...]:
    """The volumes that an environment can have besides: for replicas, and for backups."""
    return tuple(prefix(environment) + name for name in TIER_VOLUMES)


def backup_volume(environment: str) -> str:
    """The volume with the repository of its backups."""
    return prefix(environment) + backup.SERVICE


def watch_volumes(environment: str) -> tuple[str, ...]:
    """The volumes of an environment that is watched."""
    return tuple(prefix(environment) + name for name in WATCH_VOLUMES)


def log_volumes(environment: str) -> tuple[str, ...]:
    """The volumes of an environment with a central log store."""
    return tuple(prefix(environment) + name for name in LOG_VOLUMES)


def toolbox_container(environment: str) -> str:
    """The container through which a release reads and writes the state."""
    return f"{prefix(environment)}toolbox"
