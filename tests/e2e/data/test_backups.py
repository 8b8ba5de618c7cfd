"""What was backed up comes back through the toolkit, exactly, also when that was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_rig import COPY, KEPT, Kept
from site_copy import Site
from tier_rig import eventually

from slipway.report import Result


@pytest.fixture(scope="module")
def kept(released: Site) -> Iterator[Kept]:
    """A released environment with a replica and backups."""
    made = Kept(released)
    try:
        made.begin()
        yield made
    finally:
        ended = made.remove()
    assert ended.exit_code == 0, ended.text


def test_a_release_with_backups_leaves_nothing_to_do(kept: Kept) -> None:
    assert "Nothing to do" in kept.invoke("release").text
    confined = kept.container("backup").attrs["HostConfig"]
    assert confined["CapDrop"] == ["ALL"]
    assert confined["ReadonlyRootfs"] is True


def test_the_database_goes_back_to_a_point_and_its_replica_follows(
    kept: Kept, figures: list[Result]
) -> None:
    kept.mark(1)
    point = kept.point()
    kept.mark(2)
    began = time.monotonic()
    answer = kept.restore(point)
    figures.append(Result("restore to a point", round(time.monotonic() - began, 1), "s"))
    assert kept.marks() == ["1"]
    eventually(lambda: kept.marks("postgres-2") == ["1"], "replica with the restored data")
    assert "What was there before: invoke restore" in answer.text
    assert kept.points()[-1]["name"].startswith("before-restore-")
    assert "Nothing to do" in kept.invoke("release").text


@pytest.mark.exhaustive
def test_what_was_there_before_comes_back_too(kept: Kept) -> None:
    kept.mark(10)
    point = kept.point()
    kept.mark(11)
    kept.restore(point)
    before = kept.points()[-1]
    assert before["name"].startswith("before-restore-")
    kept.restore(before["id"])
    assert kept.marks()[-2:] == ["10", "11"]


def test_the_same_again_finishes_a_restore_that_was_killed(kept: Kept) -> None:
    kept.mark(20)
    point = kept.point()
    kept.mark(21)
    words = ("restore", "--to", point, "--yes-overwrite", KEPT, "--env", KEPT)
    engine = kept.site.engine
    name = f"slipway-{KEPT}-platform-backup-run-"

    def restores() -> bool:
        there = engine.containers.list(ignore_removed=True)
        return any(str(each.name).startswith(name) for each in there)

    with kept.site.start(*words) as restoring:
        eventually(restores, "container that restores")
        os.kill(restoring.pid, signal.SIGKILL)
    refused = kept.invoke("release")
    assert refused.exit_code == 2
    assert f"invoke restore --env {KEPT} --to {point}" in refused.text
    answer = kept.restore(point)
    assert "goes on with the restore" in answer.text
    assert kept.marks()[-1] == "20"


def test_another_environment_comes_up_on_the_data_and_this_one_goes_on(kept: Kept) -> None:
    kept.mark(30)
    point = kept.point()
    started = kept.container("postgres").attrs["State"]["StartedAt"]
    copy = kept.copy()
    answer = kept.invoke("restore", "--to", point, "--into", copy)
    assert answer.exit_code == 0, answer.text
    released = kept.invoke("release", env=copy)
    assert released.exit_code == 0, released.text
    assert kept.marks(env=COPY)[-1] == "30"
    assert kept.container("postgres").attrs["State"]["StartedAt"] == started


def test_a_drill_proves_a_point_and_what_was_built_while_the_copy_before_was_taken(
    kept: Kept,
) -> None:
    with kept.building():
        assert kept.invoke("backup", "--full").exit_code == 0
    point = kept.point()
    assert kept.invoke("backup.verify").exit_code == 0
    answer = kept.invoke("backup.drill")
    assert answer.exit_code == 0, answer.text
    (proved,) = (each for each in kept.points() if each["id"] == point)
    assert proved["verified"]["ok"] is True


def test_the_key_and_a_point_leave_the_host(kept: Kept, tmp_path: Path) -> None:
    key, shelf = tmp_path / "key", tmp_path / "shelf"
    assert kept.invoke("backup.key", "--to", str(key)).exit_code == 0
    assert kept.invoke("backup.export", "--to", str(shelf)).exit_code == 0
    assert {path.stat().st_mode & 0o777 for path in (key, shelf)} == {0o600}
    put = ("secrets.put", "--name", "backup_key_escrow", "--file", str(key))
    assert kept.invoke(*put).exit_code == 0
    assert kept.invoke("release").exit_code == 0
    drill = kept.invoke("backup.drill")
    assert drill.exit_code == 0, drill.text
    assert "escrow" in drill.text
