"""`invoke status` says what serves, and ends with 1 when nothing does."""

from __future__ import annotations

import json

from standin_world import World


def test_a_healthy_environment_is_told_in_lines(released: World) -> None:
    ended = released.invoke("status", "--env", "dev")
    assert (ended.exit_code, ended.errors) == (0, "")
    first, *rest = ended.output.splitlines()
    assert first.startswith("dev serves generation 1 at https://localhost:")
    assert [line.split()[:2] for line in rest if "->" not in line and "drift" not in line] == [
        ["slipway-dev-g1-backend-1", "healthy"],
        ["slipway-dev-g1-backend-2", "healthy"],
        ["slipway-dev-g1-worker-1", "healthy"],
        ["slipway-dev-platform-door-1", "healthy"],
        ["slipway-dev-platform-edge-1", "healthy"],
        ["slipway-dev-platform-postgres-1", "healthy"],
    ]
    assert rest[-1] == "  drift: none, everything is as it was released"
    assert sum("ready, 0 in flight" in line for line in rest) == 2
    assert released.standin.changes == []


def test_the_same_as_one_json_object(released: World) -> None:
    ended = released.invoke("status", "--env", "dev", "--json")
    report = json.loads(ended.output)
    assert (report["environment"], report["serving"], report["generation"]) == ("dev", True, 1)
    assert report["url"].startswith("https://localhost:")
    assert {each["service"] for each in report["containers"]} == {
        *("backend", "worker", "door", "edge", "postgres"),
    }
    assert len(report["edge"]["addresses"]) == 2


def test_what_does_not_serve_ends_with_1_and_the_next_command(released: World) -> None:
    for each in released.standin.project("slipway-dev-g1"):
        each["State"]["Health"]["Status"] = "unhealthy"
        each["RestartCount"] = 4
    ended = released.invoke("status", "--env", "dev")
    assert ended.exit_code == 1
    assert "dev DOES NOT SERVE generation 1" in ended.output
    assert "4 restarts" in ended.output
    assert "NOT READY" in ended.output
    assert ended.errors.endswith("next: invoke release --env dev --plan\n")


def test_an_edge_behind_a_door_that_is_gone_serves_nobody(released: World) -> None:
    (door,) = (
        each
        for each in released.standin.project("slipway-dev-platform")
        if each["Name"].endswith("-door-1")
    )
    del released.standin.containers[door["Id"]]
    ended = released.invoke("status", "--env", "dev")
    assert ended.exit_code == 1
    assert "dev DOES NOT SERVE generation 1" in ended.output
    found = released.invoke("diagnose", "--env", "dev")
    assert "edge-gone: no door runs, so nobody reaches the edge" in found.output
    assert released.release().exit_code == 0
    assert released.invoke("status", "--env", "dev").exit_code == 0


def test_an_environment_that_was_never_released_is_told(world: World) -> None:
    ended = world.invoke("status", "--env", "dev")
    assert ended.exit_code == 1
    assert ended.output == "dev: nothing runs\n"


def test_an_edge_that_does_not_answer_is_told(released: World) -> None:
    released.standin.faults.edge_silent = True
    ended = released.invoke("status", "--env", "dev")
    assert ended.exit_code == 1
    assert "warning: the edge does not answer" in ended.errors
    assert "slipway-dev-g1-backend-1" in ended.output


def test_no_environment_is_a_question(world: World) -> None:
    ended = world.invoke("status")
    assert ended.exit_code == 2
    assert "Which environment? (there are: dev, prod, staging)" in ended.errors
