"""Patroni is told what was measured, and lets nobody in without TLS and a password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway_postgres import patroni
from slipway_postgres.settings import Settings

GIBIBYTE = 1 << 30


def member(folder: Path, **changes: Any) -> Settings:
    return Settings(**({"name": "postgres-2", "secrets": folder} | changes))


def test_the_times_are_those_that_were_measured(folder: Path) -> None:
    found = patroni.shared(member(folder))
    times = ("ttl", "loop_wait", "retry_timeout", "primary_start_timeout")
    assert [found[name] for name in times] == [20, 2, 9, 0]
    # The rule without which a slow etcd costs the primary its place.
    assert found["loop_wait"] + 2 * found["retry_timeout"] <= found["ttl"]
    assert found["failsafe_mode"]


@pytest.mark.parametrize("synchronous", [True, False])
def test_without_synchrony_an_old_primary_is_kept_for_a_person(
    folder: Path, synchronous: bool
) -> None:
    found = patroni.shared(member(folder, synchronous=synchronous))
    assert found["synchronous_mode"] is synchronous
    removes = {key: found["postgresql"][key] for key in found["postgresql"] if "remove" in key}
    assert len(removes) == 2
    assert set(removes.values()) == {synchronous}


def test_settings_are_sorted_into_shared_and_own(folder: Path) -> None:
    given = {"max_connections": "200", "work_mem": "32MB"}
    settings = member(folder, given=given)
    everybody = patroni.shared(settings)["postgresql"]["parameters"]
    own = patroni.configuration(settings, GIBIBYTE, has_data=True)["postgresql"]["parameters"]
    assert everybody["max_connections"] == "200"
    assert own["work_mem"] == "32MB"
    assert not set(own) & set(patroni.SHARED)


def test_only_a_member_with_data_may_begin_a_cluster(folder: Path) -> None:
    settings = member(folder)
    assert "bootstrap" not in patroni.configuration(settings, GIBIBYTE, has_data=False)
    found = patroni.configuration(settings, GIBIBYTE, has_data=True)["bootstrap"]
    # Nothing that would make a cluster, also there.
    assert found == {"dcs": patroni.shared(settings) | {"slots": {}}}


def test_the_slot_of_backups_is_kept_only_where_there_are_any(folder: Path) -> None:
    # What nobody reads keeps the log; nothing in its place takes it away from a running cluster.
    assert patroni.shared(member(folder))["slots"] == {"slipway_backup": None}
    settings = member(folder, backups=True)
    found = patroni.configuration(settings, GIBIBYTE, has_data=True)["bootstrap"]["dcs"]["slots"]
    assert found == patroni.shared(settings)["slots"] == {"slipway_backup": {"type": "physical"}}


def test_the_door_of_backups_is_its_own_role_and_no_superuser(folder: Path) -> None:
    found = patroni.configuration(member(folder), GIBIBYTE, has_data=True)["postgresql"]
    assert "local all slipway_backup peer map=slipway" in found["pg_hba"]
    assert found["pg_ident"] == ["slipway postgres slipway_backup"]


def test_every_way_in_over_the_network_is_encrypted_and_asks_for_a_password(folder: Path) -> None:
    for rule in patroni.HBA:
        kind, *_, method = rule.split(" clientcert=")[0].split()
        assert kind == "local" or method == ("reject" if kind == "hostnossl" else method)
        assert kind != "hostssl" or method in {"scram-sha-256", "reject"}
        assert kind in {"local", "hostssl", "hostnossl"}


def test_members_check_each_others_certificates(folder: Path) -> None:
    found = patroni.configuration(member(folder), GIBIBYTE, has_data=True)
    assert found["restapi"]["verify_client"] == "optional"
    assert found["etcd3"]["protocol"] == "https"
    for role in ("replication", "rewind"):
        assert found["postgresql"]["authentication"][role]["sslmode"] == "verify-full"
    assert found["postgresql"]["parameters"]["ssl"] == "on"
    assert found["watchdog"] == {"mode": "off"}
