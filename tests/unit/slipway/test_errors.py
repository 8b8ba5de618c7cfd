"""A failure is one message, an exit code, and the next command."""

from __future__ import annotations

from slipway.errors import CommandFailed, Refused, SlipwayError


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
