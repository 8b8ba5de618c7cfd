"""`invoke history` tells what was released; `history.verify` whether that is the whole truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standin_world import World

HISTORY = ("history", "--env", "dev")
VERIFY = ("history.verify", "--env", "dev")


@pytest.fixture
def two(released: World) -> World:
    """A world with a release that went well and one that did not."""
    released.change("services/backend/app.py")
    released.standin.faults.service["worker"] = "exited"
    assert released.release().exit_code == 1
    released.standin.forget()
    return released


def ledger(world: World) -> Path:
    return world.standin.volume("slipway-dev-state") / "ledger.jsonl"


def test_each_release_is_a_line_and_a_failure_has_its_reason(two: World) -> None:
    ended = two.invoke(*HISTORY)
    assert (ended.exit_code, ended.errors) == (0, "")
    head, first, second, reason = ended.output.splitlines()
    assert head.split()[:3] == ["when", "(UTC)", "what"]
    assert first.startswith("1 ")
    assert " g1 " in first
    assert " done " in first
    assert "@" in first
    assert " failed " in second
    assert "slipway-dev-g2 did not become healthy" in reason
    assert two.standin.changes == []


def test_the_same_as_json_is_what_was_written(two: World) -> None:
    ended = two.invoke(*HISTORY, "--json")
    assert json.loads(ended.output) == two.ledger()


def test_the_last_ones_are_enough_for_a_glance(two: World) -> None:
    lines = json.loads(two.invoke(*HISTORY, "--json", "--last", "1").output)
    assert [line["number"] for line in lines] == [2]


@pytest.mark.parametrize("last", ["-1", "x", "1.5", ""])
def test_what_is_no_number_of_lines_is_refused(released: World, last: str) -> None:
    ended = released.invoke(*HISTORY, f"--last={last}")
    assert ended.exit_code == 2
    assert f"history: --last {last} is no number of lines: 0 is all of them" in ended.errors


def test_lines_of_older_releases_have_dashes(released: World) -> None:
    line = {"number": 1, "time": 0, "hash": "0", "result": "done"}
    ledger(released).write_text(json.dumps(line) + "\n")
    ended = released.invoke(*HISTORY)
    assert "1970-01-01 00:00:00  release  -        -       done    -     -" in ended.output
    assert "warning: line 1 of the ledger of dev was altered" in ended.errors


def test_requests_that_were_counted_are_told(released: World) -> None:
    line = released.ledger()[0] | {"requests": {"served": 812, "failed": 0}, "kind": "rollback"}
    ledger(released).write_text(json.dumps(line) + "\n")
    told = released.invoke(*HISTORY).output
    assert "812 served, 0 lost" in told
    assert "rollback" in told


def test_an_environment_that_was_never_released_has_no_history(world: World) -> None:
    ended = world.invoke(*HISTORY)
    assert (ended.exit_code, ended.output) == (0, "dev: nothing was released yet\n")
    assert world.invoke(*VERIFY).output == "ok: 0 lines\n"


class TestVerify:
    def test_a_whole_ledger_is_ok(self, two: World) -> None:
        ended = two.invoke(*VERIFY)
        assert (ended.exit_code, ended.errors) == (0, "")
        assert ended.output == f"ok: 2 lines, the last one is {two.ledger()[-1]['hash'][:16]}\n"

    def test_an_altered_line_is_named(self, two: World) -> None:
        ledger(two).write_text(ledger(two).read_text().replace('"failed"', '"done"'))
        ended = two.invoke(*VERIFY)
        assert ended.exit_code == 1
        assert "line 2 of the ledger of dev is not as it was written" in ended.errors
        assert "next: invoke history --env dev --last 0" in ended.errors

    def test_a_deleted_last_line_is_named(self, two: World) -> None:
        ledger(two).write_text(ledger(two).read_text().splitlines(keepends=True)[0])
        ended = two.invoke(*VERIFY)
        assert ended.exit_code == 1
        assert "line 2 of the ledger of dev is missing" in ended.errors

    def test_an_engine_without_a_toolbox_says_what_to_do(self, released: World) -> None:
        released.standin.store.tags.clear()
        ended = released.invoke(*VERIFY)
        assert ended.exit_code == 2
        assert "next: invoke build --service toolbox" in ended.errors
