"""One release at a time: who may take a lease over, and what the one who lost it still does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from standin_world import World

from slipway import holders, state
from slipway.errors import Refused

PURPOSE = "release 3f2a"


@pytest.fixture
def image(released: World) -> str:
    """The toolbox of the release that is there."""
    return str(released.ledger()[-1]["images"]["toolbox"])


def held_by(world: World, process: dict[str, Any] | None, purpose: str = PURPOSE) -> None:
    """Let somebody else hold the lease for long, with a toolbox of their own."""
    world.standin.change_lease(
        holder="anna@desk (process 7)", purpose=purpose, process=process, expires=1e11, fence=40
    )


def ended() -> dict[str, Any]:
    """A process of this host that has ended."""
    shown = "import json; from slipway import holders; print(json.dumps(holders.process()))"
    done = subprocess.run((sys.executable, "-c", shown), capture_output=True, check=True, text=True)
    process = json.loads(done.stdout)
    assert isinstance(process, dict)
    return process


def test_one_whose_process_has_ended_is_taken_over_at_once(
    released: World, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held_by(released, ended())
    with state.opened("dev", image, purpose="another") as held:
        assert held.fence == 41
    said = capsys.readouterr().out
    assert f"taking over from anna@desk (process 7), {PURPOSE}: its process has ended" in said


@pytest.mark.parametrize(
    "elsewhere",
    [{"host": "desk"}, {"boot": "another"}, {"namespace": "pid:[1]"}],
    ids=lambda each: next(iter(each)),
)
def test_one_that_cannot_be_seen_to_have_ended_is_waited_for(
    released: World, image: str, elsewhere: dict[str, str]
) -> None:
    held_by(released, ended() | elsewhere)
    with (
        pytest.raises(Refused, match=rf"anna@desk .* is busy with {PURPOSE} since"),
        state.opened("dev", image, purpose="another"),
    ):
        pass
    assert released.standin.toolboxes == {}


def test_one_of_an_older_version_of_slipway_is_waited_for(released: World, image: str) -> None:
    held_by(released, None)
    with pytest.raises(Refused), state.opened("dev", image, purpose="another"):
        pass


def test_another_process_with_the_number_of_one_that_ended_is_not_its_holder() -> None:
    mine = holders.process()
    assert not holders.gone(mine)
    assert holders.gone(mine | {"started": mine["started"] - 1})


def test_the_commands_that_a_killed_holder_left_are_ended() -> None:
    gone = ended()
    mark = f"{gone['boot']}:{gone['pid']}:{gone['started']}"
    with subprocess.Popen(("sleep", "60"), env={**os.environ, holders.MARK: mark}) as orphan:
        # The kernel tells that a program was started a moment before it shows its environment.
        while not Path(f"/proc/{orphan.pid}/environ").read_bytes():
            time.sleep(0.001)
        holders.end_orphans(gone)
        assert orphan.wait(30) == -9


def test_a_soak_ends_for_a_rollback_and_for_nobody_else(released: World, image: str) -> None:
    with state.opened("dev", image, purpose=PURPOSE) as soaking:
        soaking.soak("3f2a")
        with (
            pytest.raises(Refused, match="is busy with soak of release 3f2a since"),
            state.opened("dev", image, purpose="release 4"),
        ):
            pass
        with state.opened("dev", image, purpose="rollback", ends_soak=True) as held:
            assert held.fence == soaking.fence + 1
            with pytest.raises(state.LeaseLost):
                soaking.check()
            with pytest.raises(state.LeaseLost):
                soaking.commit(result="done")
            held.check()
        assert list(released.standin.toolboxes) == []


def test_a_release_that_was_paused_finds_that_another_took_over(
    released: World, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as nobody can have taken it, nobody is asked; after a pause the state is."""
    clock = [1000.0]
    monkeypatch.setattr(state, "_clock", lambda: clock[0])
    with state.opened("dev", image, purpose=PURPOSE) as paused:
        paused.confirmed = clock[0]
        paused.check()
        clock[0] += state.LEASE_SECONDS / 2 + 1
        paused.check()
        assert paused.confirmed == clock[0]
        clock[0] += state.LEASE_SECONDS + 1
        released.standin.change_lease(expires=0)
        with (
            state.opened("dev", image, purpose="another"),
            pytest.raises(state.LeaseLost, match="another run took over"),
        ):
            paused.check()
        with pytest.raises(state.LeaseLost, match="nothing more was written or done"):
            paused.commit(result="done")


def test_two_that_take_over_at_once_do_not_end_each_other(released: World, image: str) -> None:
    """The toolbox of a dead release is removed by its id: its name may be another's by now."""
    held_by(released, ended())
    with state.opened("dev", image, purpose="first") as first:
        with pytest.raises(Refused, match="is busy with first"):
            state._start("dev", image, ends_soak=False)
        first.check()
