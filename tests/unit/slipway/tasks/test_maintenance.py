"""`invoke maintenance` turns callers away and lets them in again, and history remembers both."""

from __future__ import annotations

from standin_world import World


def test_on_and_off_are_told_by_status_and_history(released: World) -> None:
    ended = released.invoke("maintenance", "--env", "dev", "on", "--message", "back at noon")
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "callers are answered 503. Requests in flight finish" in ended.output
    assert "x-slipway-maintenance: " + "p" * 32 in ended.output
    told = released.invoke("status", "--env", "dev").output
    since = "1970-01-01 00:00:00 UTC"
    assert f"UNDER MAINTENANCE since {since}, callers are answered 503: back at noon" in told

    ended = released.invoke("maintenance", "--env", "dev", "off")
    assert (ended.exit_code, ended.errors) == (0, "")
    assert ended.output.startswith("dev serves again at https://localhost:")
    assert "MAINTENANCE" not in released.invoke("status", "--env", "dev").output
    on, off = released.ledger()[-2:]
    assert (on["kind"], on["result"], on["reason"]) == ("maintenance", "on", "back at noon")
    assert (off["kind"], off["result"]) == ("maintenance", "off")
    history = released.invoke("history", "--env", "dev").output
    assert "maintenance" in history
    assert "back at noon" in history
    assert released.invoke("history.verify", "--env", "dev").exit_code == 0


def test_it_needs_no_lease_and_a_release_goes_on_behind_it(released: World) -> None:
    """The proof goes through the edge, so it needs the pass."""
    released.standin.change_lease(expires=1e11)
    assert released.invoke("maintenance", "--env", "dev", "on").exit_code == 0
    released.standin.change_lease(expires=0)
    released.change("services/backend/app.py")
    released.product.passes.clear()
    assert released.release().exit_code == 0
    assert released.product.passes == {"p" * 32}
    assert released.standin.generation == 2


def test_an_edge_that_knows_no_maintenance_can_still_be_released_through(released: World) -> None:
    released.standin.faults.edge_knows_no_maintenance = True
    released.change("services/backend/app.py")
    assert released.release().exit_code == 0
    ended = released.invoke("maintenance", "--env", "dev", "on")
    assert ended.exit_code == 1
    assert "The edge did not change its maintenance: invalid choice" in ended.errors


def test_a_history_that_cannot_be_written_does_not_keep_callers_out(released: World) -> None:
    """They are let in first; what failed is told."""
    released.invoke("maintenance", "--env", "dev", "on")
    released.standin.faults.die_before = "note"
    ended = released.invoke("maintenance", "--env", "dev", "off")
    assert ended.exit_code == 0
    assert "the history of dev could not be written" in ended.errors
    assert released.standin.maintenance == {"on": False}


def test_what_makes_no_sense_is_refused(released: World) -> None:
    for words, told in (
        (("sideways",), "'sideways' is neither on nor off"),
        (("off", "--message", "x"), "--message is what callers are told"),
        (("on", "--message", "x" * 501), "--message has 501 characters; at most 500"),
    ):
        ended = released.invoke("maintenance", "--env", "dev", *words)
        assert ended.exit_code == 2
        assert told in ended.errors
    assert released.standin.changes == []


def test_off_when_it_is_off_does_nothing(released: World) -> None:
    ended = released.invoke("maintenance", "--env", "dev", "off")
    assert (ended.exit_code, ended.output) == (
        0,
        "Nothing to do: dev is not under maintenance.\n",
    )
    assert released.standin.changes == []


def test_an_environment_without_an_edge_is_refused(world: World) -> None:
    ended = world.invoke("maintenance", "--env", "dev", "on")
    assert ended.exit_code == 2
    assert "The edge of dev does not run" in ended.errors
