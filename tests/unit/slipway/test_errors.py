"""A failure is one message, an exit code, and the next command."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import CommandFailed, Refused, SlipwayError, typed


def test_a_message_ends_with_the_next_command() -> None:
    assert str(SlipwayError("It broke", next_command="invoke logs")) == (
        "It broke\n  next: invoke logs"
    )
    assert str(SlipwayError("It broke")) == "It broke"


def test_refused_is_told_from_failed_by_its_exit_code() -> None:
    assert (SlipwayError("").exit_code, Refused("").exit_code) == (1, 2)
    assert CommandFailed(("docker",), 125, ()).exit_code == 1


def test_a_failed_command_is_shown_with_its_lines() -> None:
    failed = CommandFailed(("docker", "ps"), 125, ("one", "two"), next_command="dockerd")
    assert str(failed) == (
        "`docker ps` ended with exit code 125\n    one\n    two\n  next: dockerd"
    )


def test_the_next_command_is_written_as_this_one_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/invoke", "release"])
    assert typed("invoke status --env dev") == ".venv/bin/invoke status --env dev"
    assert typed("docker system df") == "docker system df"
    program = tmp_path / "invoke"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [str(program), "release"])
    assert typed("invoke status --env dev") == "invoke status --env dev"
