"""An environment with a replica and backups: members tell figures, and let nobody change them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from site_copy import NAME, Site
from watch_rig import Watched

JOBS = {
    *("alertmanager", "backend", "backup", "database", "edge", "engine", "etcd", "host"),
    *("patroni", "probe", "prometheus", "worker"),
}
BACKUP = {
    "policy": "scheduled",
    "full": "0 2 * * 0",
    "differential": "0 2 * * 1",
    "incremental": "0 3 * * *",
    "drill": "0 4 * * 0",
    "keep": {"full": 2, "differential": 2},
    "second": None,
}
# From where Prometheus is, without any certificate.
CHANGE = """
import json, ssl, urllib.request
context = ssl.create_default_context(cafile="/run/secrets/data_ca.crt")
wanted = json.dumps({"ttl": 30}).encode()
request = urllib.request.Request("https://postgres:8008/config", data=wanted, method="PATCH")
try:
    print(urllib.request.urlopen(request, context=context).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def members(site: Site) -> Iterator[Watched]:
    """A watched environment with a replica and backups; it begins with nothing."""
    made = Watched(site)
    made.end()
    down = ("down", "--env", NAME, "--volumes", "--yes-delete", NAME)
    assert site.invoke(*down).exit_code == 0
    site.set_environment(
        monitoring="standard",
        backup=BACKUP,
        database={"replicas": 1, "synchronous": True},
        replicas={"backend": 1, "worker": 1},
    )
    try:
        answer = site.invoke("release", "--env", NAME)
        assert answer.exit_code == 0, answer.text
        yield made
    finally:
        assert site.invoke(*down).exit_code == 0
        site.put_back()


def test_every_member_tells_its_figures(members: Watched) -> None:
    def answering() -> bool:
        found = members.values("up")
        return {each["job"] for each, _ in found} == JOBS and all(value for _, value in found)

    members.eventually(answering, "figures of every part")
    assert len(members.values("pg_up == 1")) == 2
    members.eventually(lambda: len(members.values("patroni_postgres_streaming")) == 2, "Patroni's")
    assert len(members.values("patroni_sync_standby == 1")) == 1
    assert len(members.values("etcd_server_has_leader == 1")) == 1
    assert members.values("slipway_backup_archive_receiving") != []


def test_who_may_read_figures_may_change_nothing(members: Watched) -> None:
    done = members.container("prometheus").exec_run(["python3", "-c", CHANGE])
    assert done.output.decode().strip() in {"401", "403"}, done.output


def test_nothing_is_wrong_with_what_was_released(members: Watched) -> None:
    def calm() -> bool:
        firing = members.values('ALERTS{alertstate="firing", severity="page"}')
        return firing == []

    assert calm(), members.values("ALERTS")
