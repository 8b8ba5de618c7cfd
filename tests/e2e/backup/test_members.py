"""A data tier with a replica is backed up from the replica, and across a switchover."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from backup_rig import REPOSITORY, Rig
from docker.models.containers import Container

MEMBERS = ("postgres-2", "postgres-3")
SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE slot_name = 'slipway_backup'"
DATABASE = """
import json
from slipway_backup import points, settings
print(json.dumps(points.find(settings.load(), "latest").point.database))
"""


class Tier:
    """Two members, etcd, and a backup service of their own."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        for name in ("etcd", "of-members"):
            rig.volume(name)
        rig.shell("chown 10005:10005 /e; chown 10006:10006 /r", {"etcd": "/e", "of-members": "/r"})
        for name in MEMBERS:
            rig.postgres_volume(name)
        self.etcd = rig.run(
            rig.images["etcd"],
            "etcd",
            mounts={"etcd": "/var/lib/etcd", "secrets-etcd": "/run/secrets:ro"},
            user="10005:10005",
            aliases=["etcd"],
        )
        first = rig.start_member(MEMBERS[0], "create")
        assert first.wait()["StatusCode"] == 0, first.logs()
        first.remove()
        self.members = {name: rig.start_member(name) for name in MEMBERS}
        rig.eventually(self.whole, "a primary that a replica follows")
        granted = self.primary().exec_run(["slipway-member", "grant"])
        assert granted.exit_code == 0, granted.output
        self.service = rig.start_service("of-members", DATABASE_HOSTS=",".join(MEMBERS))

    def whole(self) -> bool:
        """Whether one member leads and the other one streams."""
        return sorted(each["state"] for each in self.said()) == ["running", "streaming"]

    def said(self) -> list[dict[str, Any]]:
        """The members as the cluster tells of them."""
        for member in self.members.values():
            done = member.exec_run(["slipway-member", "status"])
            if done.exit_code == 0:
                return list(json.loads(done.output)["cluster"]["members"])
        return []

    def primary(self) -> Container:
        """The member that takes the writes."""
        return self.members[next(each["name"] for each in self.said() if each["role"] == "leader")]

    def replica(self) -> Container:
        """The member that follows."""
        return next(each for each in self.members.values() if each.id != self.primary().id)


@pytest.fixture
def tier(rig: Rig) -> Iterator[Tier]:
    """A tier with a service that receives its log."""
    made = Tier(rig)
    yield made
    rig.end(made.service)
    for container in (*made.members.values(), made.etcd):
        container.remove(force=True)


def test_points_come_from_the_replica_and_go_on_after_a_switchover(rig: Rig, tier: Tier) -> None:
    first = tier.primary()
    rig.query("CREATE TABLE ledger (id bigint PRIMARY KEY)", first)
    rig.query("INSERT INTO ledger VALUES (1)", first)
    taken = rig.verb("run", "--kind", "full", container=tier.service)
    assert taken.code == 0, taken.text
    before = copied(rig)
    assert f"{rig.network.name}-{before['member']}" == tier.replica().name
    # Every member keeps the place that the log was read up to.
    for member in tier.members.values():
        rig.eventually(lambda own=member: rig.query(SLOTS, own), "the slot of backups")
    handed = first.exec_run(["slipway-member", "switchover"])
    assert handed.exit_code == 0, handed.output
    rig.eventually(tier.whole, "the old primary as a replica")
    assert tier.primary().id != first.id
    rig.query("INSERT INTO ledger VALUES (2)", tier.primary())
    again = rig.verb("run", container=tier.service)
    assert again.code == 0, again.text
    assert copied(rig)["timeline"] == before["timeline"] + 1
    for point in (taken, again):
        drill = rig.once("drill", "--point", point.told["point"]["id"], repository="of-members")
        assert drill.code == 0, drill.text
    told = tier.service.exec_run(["cat", f"{REPOSITORY}/work/wal.json"], user="10006")
    assert json.loads(told.output)["error"] == ""
    # A replica that is away is no reason for no point.
    tier.replica().stop()
    alone = rig.verb("run", container=tier.service)
    assert alone.code == 0, alone.text


def copied(rig: Rig) -> dict[str, Any]:
    """What the newest point says of the database."""
    found = json.loads(rig.python(DATABASE, "of-members"))
    assert isinstance(found, dict)
    return found
