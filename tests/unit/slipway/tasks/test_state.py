"""The state is written under a lease that is kept alive, and by nobody who has lost it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from standin_world import World

from slipway import state
from slipway.errors import Refused, SlipwayError

PURPOSE = "release 3f2a"


def image(world: World) -> str:
    return str(world.ledger()[-1]["images"]["toolbox"])


def lease(world: World) -> dict[str, Any]:
    path = world.standin.volume("slipway-dev-state") / "lease.json"
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def test_the_lease_names_its_holder_and_is_given_back(released: World) -> None:
    with state.opened("dev", image(released), purpose=PURPOSE) as held:
        taken = lease(released)
        assert (taken["holder"], taken["purpose"]) == (state.holder(), PURPOSE)
        assert taken["fence"] == held.fence
        assert json.loads(held.read())["lease"] == taken
    assert lease(released)["expires"] < taken["expires"]
    assert released.standin.toolboxes == {}


def test_only_one_holds_it(released: World) -> None:
    with (
        state.opened("dev", image(released), purpose=PURPOSE),
        pytest.raises(Refused, match=f"is busy with {PURPOSE} since"),
        state.opened("dev", image(released), purpose="another"),
    ):
        pass


def renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Renew without a wait; the event tells that a renewal came back."""
    happened = threading.Event()
    call = state.call

    def watched(container: str, verb: str, request: Any) -> tuple[int, str]:
        try:
            return call(container, verb, request)
        finally:
            if verb == "renew":
                happened.set()

    monkeypatch.setattr(state, "call", watched)
    monkeypatch.setattr(state, "RENEW_SECONDS", 0.01)
    return happened


def test_the_lease_is_renewed_while_the_work_lasts(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = renewed(released, monkeypatch)
    with state.opened("dev", image(released), purpose=PURPOSE):
        first = lease(released)["expires"]
        assert happened.wait(30)
        happened.clear()
        assert happened.wait(30)
        assert lease(released)["expires"] > first


def test_a_lease_that_went_to_another_is_noticed_before_the_next_write(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "RENEW_SECONDS", 0.01)
    with state.opened("dev", image(released), purpose=PURPOSE) as held:
        released.standin.change_lease(fence=99)
        assert held.lost.wait(30)
        with pytest.raises(state.LeaseLost, match="nothing more was written"):
            held.commit(result="done")
    assert lease(released)["fence"] == 99


def test_a_renewal_that_fails_is_tried_again(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = renewed(released, monkeypatch)
    with state.opened("dev", image(released), purpose=PURPOSE) as held:
        released.standin.dead = True
        happened.clear()
        assert happened.wait(30)
        released.standin.dead = False
        happened.clear()
        assert happened.wait(30)
        assert not held.lost.is_set()
        held.keep("platform.json", "{}")


def test_a_toolbox_that_is_gone_is_told(released: World) -> None:
    with pytest.raises(SlipwayError, match=r"could not be used \(read\): Error: No such container"):
        state.call("slipway-dev-toolbox", "read", {})


def test_a_toolbox_that_does_not_start_is_told(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.connect(monkeypatch, processes=True)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with (
        pytest.raises(SlipwayError, match="The toolbox could not be started: "),
        state.opened("dev", image(released), purpose=PURPOSE),
    ):
        pass
