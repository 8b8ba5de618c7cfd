"""The primary dies, is switched over, is replaced: what was acknowledged stays, writes go on.

A ledger that the writer keeps outside the database decides.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

from tier_rig import KILL, DataTier, Ledger, eventually

from slipway.report import Result

# The promise of a switchover and of a killed server, which the report of a run is held to.
MOST_SECONDS = 5
# A primary that vanishes is waited for so long. Whatever takes less was a place that was given
# away, also on a machine that others use too.
LEASE_SECONDS = 20


def test_members_follow_and_the_next_release_has_nothing_to_do(tier: DataTier) -> None:
    found = tier.whole()
    assert [each["name"] for each in found["members"]] == ["postgres", "postgres-2", "postgres-3"]
    assert "Nothing to do" in tier.invoke("release").text
    checksums = tier.query("postgres-2", "SHOW data_checksums")
    assert checksums == ["on"]
    encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)"
    assert tier.query(found["primary"], encrypted) == ["t", "t"]


def test_reads_are_answered_by_replicas_which_the_reader_cannot_write_to(tier: DataTier) -> None:
    with tier.client() as client:
        for _ in range(20):
            assert client.get("/v1/documents").status_code == 200
    used = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'slipway_reader'"
    replicas = [
        each["name"] for each in tier.whole()["members"] if not each["role"].startswith("primary")
    ]
    eventually(
        lambda: sum(int(tier.query(name, used)[0]) for name in replicas), "reader on a replica"
    )
    may = "SELECT bool_or(has_table_privilege('slipway_reader', oid, 'INSERT,UPDATE,DELETE')) "
    assert tier.query("postgres", f"{may} FROM pg_class WHERE relkind = 'r'") == ["f"]


def test_a_switchover_loses_nothing_and_the_backend_writes_on_without_a_restart(
    tier: DataTier, figures: list[Result]
) -> None:
    before = tier.whole()["primary"]
    with Ledger(tier) as ledger, tier.client() as client:
        answer = tier.invoke("db.switchover")
        assert answer.exit_code == 0, answer.text
        began = time.monotonic()
        eventually(
            lambda: client.post("/v1/collections", json={"name": uuid.uuid4().hex}).is_success,
            "first write through the backend",
        )
        first = time.monotonic() - began
        ledger.wait_for_writes()
        gap, lost = ledger.longest_gap(), ledger.lost()
    after = tier.whole()
    goal = f"<= {MOST_SECONDS}"
    figures += [
        Result("without writes in a switchover", round(gap, 2), "s", goal),
        Result("first write of a backend after a switchover", round(first, 2), "s", goal),
    ]
    assert lost == set()
    assert after["primary"] != before
    assert gap < LEASE_SECONDS
    assert first < LEASE_SECONDS


def test_a_killed_primary_is_replaced_and_comes_back_as_a_replica(
    tier: DataTier, figures: list[Result]
) -> None:
    found = tier.whole()
    timeline = max(each["timeline"] for each in found["members"])
    with Ledger(tier) as ledger:
        assert tier.container(found["primary"]).exec_run(KILL).exit_code == 0
        eventually(lambda: tier.status()["primary"] not in {None, found["primary"]}, "new primary")
        ledger.wait_for_writes()
        after = tier.whole()
        gap, lost = ledger.longest_gap(), ledger.lost()
    figures.append(Result("without writes after kill -9", round(gap, 2), "s", f"<= {MOST_SECONDS}"))
    assert lost == set()
    assert {each["timeline"] for each in after["members"]} == {timeline + 1}
    assert gap < LEASE_SECONDS


def test_a_new_image_reaches_every_member_while_writes_go_on(
    tier: DataTier, figures: list[Result]
) -> None:
    primary = tier.whole()["primary"]
    old = tier.images()
    with another_image(tier):
        planned = tier.invoke("release", "--plan").text
        assert f"switchover {primary} " in planned
        with Ledger(tier) as ledger:
            answer = tier.invoke("release")
            assert answer.exit_code == 0, answer.text
            ledger.wait_for_writes()
            gap, lost = ledger.longest_gap(), ledger.lost()
        nothing = tier.invoke("release").text
    name, goal = "without writes while the data tier's image is changed", f"<= {MOST_SECONDS}"
    figures.append(Result(name, round(gap, 2), "s", goal))
    assert lost == set()
    assert len(tier.images()) == 1
    assert not tier.images() & old
    assert gap < LEASE_SECONDS
    assert "Nothing to do" in nothing


@contextlib.contextmanager
def another_image(tier: DataTier) -> Iterator[None]:
    """Have PostgreSQL's image changed meanwhile, but not for the environments of other tests."""
    path = tier.site.root / "infra/postgres/postgresql.conf"
    text = path.read_text()
    # Never the same twice: the registry keeps what an earlier run of the tests has built.
    path.write_text(f"{text}\n# {uuid.uuid4().hex}\n")
    try:
        yield
    finally:
        path.write_text(text)
