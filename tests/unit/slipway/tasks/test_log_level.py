"""`invoke logs.level` has backends and workers write more for a while, and nobody else."""

from __future__ import annotations

import pytest
from standin_world import World


def test_every_backend_and_worker_is_told_and_says_until_when(released: World) -> None:
    ended = released.invoke("logs.level", "--env", "dev", "--level", "debug", "--minutes", "5")
    assert ended.exit_code == 0, ended
    until = "debug until 2026-01-02T03:04:05+00:00, then info"
    assert [line.split(maxsplit=1) for line in ended.output.splitlines()] == [
        [name, until] for name in ("g1-backend-1", "g1-backend-2", "g1-worker-1")
    ]
    assert {words for _, words in released.standin.levels} == {("debug", "--minutes", "5")}


def test_without_a_level_what_counts_is_printed(released: World) -> None:
    ended = released.invoke("logs.level", "--env", "dev", "--service", "worker")
    assert ended.output.split() == ["g1-worker-1", "info"]
    assert {words for _, words in released.standin.levels} == {()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--level", "loud"), "--level 'loud' is none of debug, info, warning, error"),
        (("--level", "debug", "--minutes", "0"), "--minutes '0' is not a number from 1 to 1440"),
        (("--service", "edge"), "The level of edge cannot be changed while it runs"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    released: World, words: tuple[str, ...], said: str
) -> None:
    ended = released.invoke("logs.level", "--env", "dev", *words)
    assert ended.exit_code == 2
    assert said in ended.errors
    assert released.standin.levels == []


def test_a_release_that_cannot_says_so(released: World) -> None:
    released.standin.faults.knows_no_level = True
    ended = released.invoke("logs.level", "--env", "dev", "--level", "debug")
    assert ended.exit_code == 2
    assert "is of a release that cannot change its level while it runs" in ended.errors


def test_nothing_runs_is_said(world: World) -> None:
    ended = world.invoke("logs.level", "--env", "dev")
    assert ended.exit_code == 2
    assert "No backend and no worker of dev runs" in ended.errors
