"""A task that fails ends as one message and an exit code; a traceback only for who asks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import invoke
import pytest
from invoke.exceptions import Exit

from slipway.config.layout import checkout
from slipway.errors import Refused, SlipwayError
from slipway.tasks import door


def raising(error: BaseException) -> Callable[[], None]:
    @door.task
    def some_task(context: invoke.Context) -> None:
        """Fail."""
        raise error

    return lambda: some_task(invoke.Context())


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            SlipwayError("It broke", next_command="mend it"),
            1,
            "some-task: It broke\n  next: mend it",
        ),
        (Refused("No"), 2, "some-task: No"),
        (KeyboardInterrupt(), 130, "Interrupted. The next run finishes or reverts."),
        (
            ValueError("odd"),
            1,
            "some_task: unexpected ValueError: odd\n"
            "  next: SLIPWAY_DEBUG=1 and the same command shows where",
        ),
    ],
    ids=["failed", "refused", "interrupted", "unexpected"],
)
def test_a_failure_is_one_message_and_an_exit_code(
    error: BaseException, code: int, said: str
) -> None:
    with pytest.raises(Exit) as ended:
        raising(error)()
    assert (ended.value.code, ended.value.message) == (code, said)


@pytest.mark.parametrize("error", [SlipwayError("It broke"), ValueError("odd")])
def test_debugging_lets_the_failure_through(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("SLIPWAY_DEBUG", "1")
    with pytest.raises(type(error)):
        raising(error)()


def test_a_task_may_take_options() -> None:
    seen = []

    def note(context: invoke.Context, env: str = "") -> None:
        """Note."""
        seen.append(env)

    some_task = door.task(help={"env": "where"})(note)
    some_task(invoke.Context(), env="dev")
    assert seen == ["dev"]
    assert some_task.help == {"env": "where"}
    assert list(some_task.positional) == []


def typed(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "invoke", *words),
        cwd=checkout().root,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere.sock", **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "env", "traceback"),
    [
        (("status", "--env", "nope"), {}, False),
        (("--debug", "status", "--env", "nope"), {}, True),
        (("status", "--env", "nope"), {"SLIPWAY_DEBUG": "1"}, True),
    ],
)
def test_a_traceback_is_only_for_who_asks(
    words: tuple[str, ...], env: dict[str, str], traceback: bool
) -> None:
    ended = typed(*words, **env)
    assert ended.returncode != 0
    assert "There is no environment 'nope'" in ended.stderr
    assert ("Traceback" in ended.stderr) is traceback
    if not traceback:
        assert ended.returncode == 2
