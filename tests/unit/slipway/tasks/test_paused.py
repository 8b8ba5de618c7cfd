"""A release that is stopped in its tracks while another takes over touches nothing when it goes on.

It is a process of its own, stopped with SIGSTOP before each step of its plan and after the last
one, as by a host that swaps or a laptop that sleeps. Its lease ends; another release does the work;
then it goes on.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from standin_world import World

from slipway import state
from slipway.plans.steps import Kind

#: Longer than any lease lasts.
PAUSE = 2.0 * state.LEASE_SECONDS


class Clock:
    """The clock of a host and all its processes, which can be put forward."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)
        self._usual = state._clock

    def __call__(self) -> float:
        """Seconds, in whichever process."""
        return self._usual() + float(struct.unpack("d", self._shared[:8])[0])

    def forward(self, seconds: float) -> None:
        """Let time pass for everybody."""
        now = struct.unpack("d", self._shared[:8])[0]
        self._shared[:8] = struct.pack("d", now + seconds)


@contextmanager
def stopped(world: World, moment: tuple[str, str], said: Path) -> Iterator[int]:
    """A process that releases and is stopped at a moment; it goes on when the block ends."""
    reached = threading.Event()
    process = os.fork()
    if process == 0:
        # Nobody waits for it when a test ends early.
        signal.alarm(60)
        ended = world.release()
        said.write_text(ended.output + ended.errors)
        os._exit(ended.exit_code)

    def on_moment(when: str, step: str) -> None:
        if (when, step.split(maxsplit=1)[0]) == moment and not reached.is_set():
            os.kill(process, signal.SIGSTOP)
            reached.set()

    world.standin.on_moment = on_moment
    try:
        assert reached.wait(60), f"it never came to {moment}"
        world.standin.settle()
        yield process
    finally:
        os.kill(process, signal.SIGCONT)


def everything(world: World) -> dict[str, Any]:
    """All that a release could change: engine, registry and what is in the volumes."""
    files = (path for path in (world.standin.folder / "volumes").rglob("*") if path.is_file())
    return world.standin.held() | {str(path): path.read_bytes() for path in files}


def planned(world: World) -> list[str]:
    """The kinds of the steps of the next release."""
    ended = world.release("--plan", "--json")
    return [each["kind"] for each in json.loads(ended.output)["steps"]]


def test_it_touches_nothing_when_it_goes_on(
    released: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock()
    released.connect(monkeypatch, processes=True)
    monkeypatch.setattr(state, "_clock", clock)
    released.soak(seconds=1)
    released.change("services/backend/app.py")
    released.remember("changed")
    steps = planned(released)
    assert Kind.SOAK in steps
    for moment in [*(("before", step) for step in steps), ("after", steps[-1])]:
        released.recall("changed")
        with stopped(released, moment, tmp_path / "said") as process:
            clock.forward(PAUSE)
            released.standin.change_lease(expires=0)
            with monkeypatch.context() as patch:
                released.connect(patch)
                other = released.release()
            assert other.exit_code == 0, (moment, other)
            then = everything(released)
        _, status = os.waitpid(process, 0)
        said = (tmp_path / "said").read_text()
        assert os.waitstatus_to_exitcode(status) == 1, (moment, said)
        assert "another run took over" in said, moment
        assert "nothing more was written or done" in said, moment
        assert everything(released) == then, moment
        assert released.ledger()[-1]["result"] == "done"
