"""`invoke logs` prints what the containers wrote, of all projects or of those asked for."""

from __future__ import annotations

import json

import pytest
from standin_world import World


def read(world: World, *words: str) -> list[tuple[str, ...]]:
    """The command lines that read logs."""
    world.standin.commands.clear()
    ended = world.invoke("logs", "--env", "dev", *words)
    assert (ended.exit_code, ended.errors) == (0, "")
    return [argv[2:] for argv in world.standin.commands]


def test_everything_is_read_project_by_project(released: World) -> None:
    assert read(released) == [
        ("slipway-dev-g1", "logs", "--timestamps", "--tail", "200", "backend", "worker"),
        (
            "slipway-dev-platform",
            "logs",
            "--timestamps",
            "--tail",
            "200",
            "door",
            "edge",
            "postgres",
        ),
    ]


def test_only_what_is_asked_for(released: World) -> None:
    assert read(released, "--service", "edge", "--service", "worker", "--tail", "all") == [
        ("slipway-dev-g1", "logs", "--timestamps", "--tail", "all", "worker"),
        ("slipway-dev-platform", "logs", "--timestamps", "--tail", "all", "edge"),
    ]


@pytest.mark.parametrize(
    ("words", "project"),
    [((), "slipway-dev-g1"), (("--service", "edge"), "slipway-dev-platform")],
)
def test_one_project_is_followed(released: World, words: tuple[str, ...], project: str) -> None:
    ((followed, *rest),) = read(released, "--follow", *words)
    assert followed == project
    assert "--follow" in rest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--service", "egde"),
            "dev has no container of egde (there: backend, door, edge, postgres, worker)",
        ),
        (("--tail", "ten"), "--tail 'ten' is neither a number nor `all`"),
    ],
)
def test_what_is_not_there_is_refused(released: World, words: tuple[str, ...], said: str) -> None:
    ended = released.invoke("logs", "--env", "dev", *words)
    assert ended.exit_code == 2
    assert said in ended.errors


def test_nothing_runs_is_said(world: World) -> None:
    ended = world.invoke("logs", "--env", "dev")
    assert ended.exit_code == 2
    assert "dev has no container of any service (there: nothing runs)" in ended.errors


def test_what_is_searched_for_is_printed_in_the_order_of_its_writing(released: World) -> None:
    request = '{"event": "request", "request_id": "a-1"}'
    released.standin.faults.log = {"edge": f"{request}\n", "backend": f"{request}\nother\n"}
    found = released.invoke("logs", "--env", "dev", "--grep", "a-1").output.splitlines()
    assert len(found) == 3
    assert found == sorted(found)
    assert {line.split()[1] for line in found} == {
        *("g1-backend-1", "g1-backend-2", "platform-edge-1"),
    }
    words = ("logs", "--env", "dev", "--json", "--service", "backend")
    told = [json.loads(line) for line in released.invoke(*words).output.splitlines()]
    assert {each.get("request_id", each.get("text")) for each in told} == {
        *("a-1", "other"),
        *(f"/slipway-dev-g1-backend-{number} said this" for number in (1, 2)),
    }
    assert {each["service"] for each in told} == {"backend"}


def test_without_a_store_a_users_lines_are_looked_for_in_the_containers(released: World) -> None:
    hashed = released.standin.users["ada"]
    mine = json.dumps({"event": "request", "user_hash": hashed})
    released.standin.faults.log = {"backend": f"{mine}\nof another\n"}
    found = released.invoke("logs", "--env", "dev", "--user", "ada").output.splitlines()
    assert [line.split()[1] for line in found] == ["g1-backend-1", "g1-backend-2"]


def test_whose_lines_are_meant_is_known_to_a_backend_alone(released: World) -> None:
    for each in released.standin.project("slipway-dev-g1"):
        each["State"]["Health"]["Status"] = "unhealthy"
    ended = released.invoke("logs", "--env", "dev", "--user", "ada")
    assert ended.exit_code == 2
    assert "No backend of dev answers" in ended.errors


def test_nothing_like_that_is_said(released: World) -> None:
    ended = released.invoke("logs", "--env", "dev", "--since", "2h", "--grep", "no such text")
    assert (ended.exit_code, ended.output) == (0, "")
    assert "no line is like that" in ended.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "--since 'yesterday' is no length of time"),
        (("--follow", "--grep", "a"), "--follow prints what comes"),
        (("--follow", "--json"), "--follow prints what comes"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    released: World, words: tuple[str, ...], said: str
) -> None:
    ended = released.invoke("logs", "--env", "dev", *words)
    assert ended.exit_code == 2
    assert said in ended.errors
