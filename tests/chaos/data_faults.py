"""What can happen to a data tier: each fault hurts one part and mends what it broke."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from docker.models.containers import Container
from tier_rig import KILL, TIER, DataTier, eventually

# Longer than the tier's lease (ttl 20), so that a member that is away is replaced.
AWAY_SECONDS = 30
# The promises of docs/reference/data-tier.md: a server that dies, a member that vanishes.
PROCESS, NODE = "<= 5", "<= 25"


@dataclass(frozen=True)
class Fault:
    """What is done to the tier, given its primary; `goal` is for the seconds without writes.

    `replaces` says that another member takes the writes over.
    """

    hurt: Callable[[DataTier, str], None]
    goal: str
    replaces: bool = False


def _switch_over(tier: DataTier, _primary: str) -> None:
    answer = tier.invoke("db.switchover")
    assert answer.exit_code == 0, answer.text


def _kill_server(tier: DataTier, primary: str) -> None:
    assert tier.container(primary).exec_run(KILL).exit_code == 0


def _kill_node(tier: DataTier, primary: str) -> None:
    kill_container(tier.container(primary))
    _await_another(tier, primary)
    tier.container(primary).start()


def _kill_replica(tier: DataTier, primary: str) -> None:
    replica = tier.container(_replica(tier, primary))
    kill_container(replica)
    time.sleep(AWAY_SECONDS)
    replica.start()


def _kill_store(tier: DataTier, _primary: str) -> None:
    kill_container(tier.container("etcd"))
    time.sleep(AWAY_SECONDS)
    tier.container("etcd").start()


def _pause_primary(tier: DataTier, primary: str) -> None:
    container = tier.container(primary)
    container.pause()
    try:
        _await_another(tier, primary)
    finally:
        # It goes on in the middle of what it did, and has to find out that it is none any more.
        container.unpause()


def _pause_replica(tier: DataTier, primary: str) -> None:
    _pause(tier.container(_replica(tier, primary)))


def _pause_store(tier: DataTier, _primary: str) -> None:
    _pause(tier.container("etcd"))


def _split(tier: DataTier, primary: str) -> None:
    """Take the primary off the network that etcd is on; clients and replicas still reach it."""
    network = tier.site.engine.networks.get(f"slipway-{TIER}-data")
    container = tier.container(primary)
    network.disconnect(container)
    try:
        time.sleep(AWAY_SECONDS)
    finally:
        network.connect(container, aliases=[primary])


FAULTS = {
    "switchover": Fault(_switch_over, PROCESS, replaces=True),
    "postgres of the primary killed": Fault(_kill_server, PROCESS, replaces=True),
    "primary's container killed": Fault(_kill_node, NODE, replaces=True),
    "synchronous replica's container killed": Fault(_kill_replica, NODE),
    "etcd killed, back after 30 s": Fault(_kill_store, PROCESS),
    "primary paused": Fault(_pause_primary, NODE, replaces=True),
    "synchronous replica paused for 30 s": Fault(_pause_replica, NODE),
    "etcd paused for 30 s": Fault(_pause_store, PROCESS),
    "primary and etcd split for 30 s": Fault(_split, NODE),
}


def kill_container(container: Container) -> None:
    """Kill a container as a host without power does; nothing starts it again."""
    # Stopped first for the engine too, which would otherwise start it again at once.
    container.update(restart_policy={"Name": "no"})
    container.kill()
    container.update(restart_policy={"Name": "unless-stopped"})


def _pause(container: Container) -> None:
    container.pause()
    try:
        time.sleep(AWAY_SECONDS)
    finally:
        container.unpause()


def _replica(tier: DataTier, primary: str) -> str:
    members = tier.status()["members"]
    found = (each["name"] for each in members if each["role"] == "synchronous replica")
    return next(found, next(each["name"] for each in members if each["name"] != primary))


def _await_another(tier: DataTier, primary: str) -> None:
    eventually(lambda: tier.status()["primary"] not in {None, primary}, "other primary")
