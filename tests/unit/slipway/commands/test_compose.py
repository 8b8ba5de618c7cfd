"""The command lines of Docker Compose, whole."""

from __future__ import annotations

from pathlib import Path

from slipway.commands import compose

FILE = Path("/tmp/app.json")
BEGIN = ("docker", "compose", "--project-name", "slipway-dev-g1")


def test_files_are_merged_in_their_order() -> None:
    assert compose.config([Path("a.yaml"), Path("b.yaml")], "slipway-dev-g1") == (
        *(*BEGIN, "--file", "a.yaml", "--file", "b.yaml", "config", "--format", "json"),
    )


def test_all_services_are_started_without_those_they_depend_on() -> None:
    assert compose.up("slipway-dev-g1", FILE) == (
        *(*BEGIN, "--file", "/tmp/app.json", "up", "--detach", "--no-deps"),
    )


def test_one_service_is_replaced() -> None:
    assert compose.up("slipway-dev-g1", FILE, ("edge",), recreate=True) == (
        *(*BEGIN, "--file", "/tmp/app.json", "up", "--detach", "--no-deps"),
        *("--force-recreate", "edge"),
    )


def test_a_one_shot_leaves_no_container() -> None:
    assert compose.run_once("slipway-dev-g1", FILE, "migrate") == (
        *(*BEGIN, "--file", "/tmp/app.json", "run", "--rm", "--no-deps", "--no-TTY", "migrate"),
    )


def test_a_signal_goes_to_one_service() -> None:
    assert compose.signal("slipway-dev-g1", "backend", "SIGTERM") == (
        *(*BEGIN, "kill", "--signal", "SIGTERM", "backend"),
    )


def test_logs_have_their_times() -> None:
    assert compose.logs("slipway-dev-g1", ["backend"], follow=True, tail="all") == (
        *(*BEGIN, "logs", "--timestamps", "--tail", "all", "--follow", "backend"),
    )
    assert compose.logs("slipway-dev-g1", [], follow=False, tail="20") == (
        *(*BEGIN, "logs", "--timestamps", "--tail", "20"),
    )


def test_a_project_is_taken_down_by_its_labels_alone() -> None:
    assert compose.down("slipway-dev-g1", stop_seconds=80) == (*BEGIN, "down", "--timeout", "80")


def test_what_is_retired_gets_the_grace_that_it_was_made_with() -> None:
    assert compose.down("slipway-dev-g1") == (*BEGIN, "down")
