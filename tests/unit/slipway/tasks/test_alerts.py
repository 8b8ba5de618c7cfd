"""What fires, who is told of it, and what silence somebody asked for, as a person types it."""

from __future__ import annotations

import json

import pytest
from standin_world import World


@pytest.fixture
def watched(released: World) -> World:
    """An environment that is watched since a moment ago."""
    released.configure(monitoring="standard")
    ended = released.release()
    assert ended.exit_code == 0, ended
    page = released.layout.root / "docs/runbooks/DatabaseDown.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("# DatabaseDown\n")
    return released


def test_a_release_says_where_the_console_is(released: World) -> None:
    released.configure(monitoring="minimal")
    ended = released.release()
    assert "/ops/   (password: .slipway/dev/console_password)" in ended.output
    left = released.layout.local / "dev/console_password"
    assert left.read_text() == released.secret("console_password")
    assert left.stat().st_mode & 0o777 == 0o600


def test_the_worst_comes_first_with_the_page_that_says_what_to_do(watched: World) -> None:
    watched.standin.watch.fire("HostDiskFull", "ticket", minutes=300)
    watched.standin.watch.fire("BackendDown", "page", inhibited=True)
    watched.standin.watch.fire("DatabaseDown", "page", minutes=12)
    watched.standin.watch.fire("Watchdog", "none")
    lines = watched.invoke("alerts", "--env", "dev").output.splitlines()
    assert lines == [
        "page    DatabaseDown  12 min",
        "  DatabaseDown it is",
        "  docs/runbooks/DatabaseDown.md",
        "page    BackendDown   5 min  (a worse alert says it)",
        "  BackendDown it is",
        "  docs/runbooks/BackendDown.md",
        "ticket  HostDiskFull  5 hours",
        "  HostDiskFull it is",
        "  docs/runbooks/HostDiskFull.md",
    ]
    first, *_ = json.loads(watched.invoke("alerts", "--env", "dev", "--json").output)
    assert (first["name"], first["state"]) == ("DatabaseDown", "told")
    assert first["about"] == {"service": "postgres"}


def test_nothing_fires(watched: World) -> None:
    watched.standin.watch.fire("Watchdog", "none")
    assert watched.invoke("alerts", "--env", "dev").output == "Nothing fires in dev.\n"


def test_a_silence_holds_until_it_is_ended(watched: World) -> None:
    watched.standin.watch.fire("DatabaseDown", "page")
    words = ("--alert", "DatabaseDown", "--duration", "3h", "--reason", "a disk is changed")
    made = watched.invoke("silence", "--env", "dev", *words)
    assert "Nobody is told of DatabaseDown for 3h: a disk is changed" in made.output
    assert "invoke silence.end --env dev --id silence-1" in made.output
    assert "(silenced: invoke silence.list)" in watched.invoke("alerts", "--env", "dev").output
    listed = watched.invoke("silence.list", "--env", "dev").output
    assert "silence-1  3 hours left" in listed or "silence-1  180 min left" in listed
    assert "alertname=DatabaseDown" in listed
    assert "a disk is changed" in listed
    assert (
        "@"
        in json.loads(watched.invoke("silence.list", "--env", "dev", "--json").output)[0]["author"]
    )
    ended = watched.invoke("silence.end", "--env", "dev", "--id", "silence-1")
    assert ended.exit_code == 0, ended
    assert "silenced" not in watched.invoke("alerts", "--env", "dev").output
    assert watched.invoke("silence.list", "--env", "dev").output == "Nothing is silenced in dev.\n"


def test_a_silence_that_is_not_there_cannot_end(watched: World) -> None:
    ended = watched.invoke("silence.end", "--env", "dev", "--id", "silence-9")
    assert ended.exit_code == 2
    assert "dev has no silence 'silence-9' (there are: none)" in ended.errors


@pytest.mark.parametrize("words", [("alerts",), ("silence.list",)])
def test_where_nobody_watches_that_is_said(released: World, words: tuple[str, ...]) -> None:
    ended = released.invoke(*words, "--env", "dev")
    assert ended.exit_code == 2
    assert "its file says `monitoring: none`" in ended.errors
    released.configure(monitoring="standard")
    ended = released.invoke(*words, "--env", "dev")
    assert "Nobody watches dev yet\n  next: invoke release --env dev" in ended.errors


def test_a_silent_alertmanager_is_a_failure_not_an_empty_list(watched: World) -> None:
    watched.standin.watch.silent = True
    ended = watched.invoke("alerts", "--env", "dev")
    assert ended.exit_code == 1
    assert "connection refused" in ended.errors


@pytest.fixture
def promised(watched: World) -> World:
    """The same, where a spent budget of errors stops releases."""
    watched.configure(monitoring="standard", error_budget="refuse")
    watched.standin.watch.budgets = {"availability": 0.4, "query_latency": 0.93}
    ended = watched.release()
    assert ended.exit_code == 0, ended
    watched.change("services/backend/app.py")
    return watched


def test_a_plan_says_how_much_error_budget_is_left(promised: World) -> None:
    assert "availability 40%, query_latency 93%" in promised.release("--plan").output
    told = json.loads(promised.release("--plan", "--json").output)
    assert told["budgets"] == {"availability": 0.4, "query_latency": 0.93}


def test_a_spent_budget_stops_a_release_until_somebody_says_why(promised: World) -> None:
    promised.standin.watch.budgets["availability"] = -0.2
    promised.standin.forget()
    ended = promised.release()
    assert ended.exit_code == 2
    assert "The error budget of dev is spent (availability -20%, query_latency 93% left)" in (
        ended.errors
    )
    assert "next: invoke alerts --env dev" in ended.errors
    assert promised.standin.changes == []
    ended = promised.release("--spend-budget", "this mends it")
    assert ended.exit_code == 0, ended
    assert "error budget is spent" in ended.errors
    assert promised.ledger()[-1]["spend_budget"] == "this mends it"


def test_a_spent_budget_stops_no_rollback(promised: World) -> None:
    assert promised.release().exit_code == 0
    promised.standin.watch.budgets["availability"] = -0.2
    ended = promised.invoke("rollback", "--env", "dev", "--yes")
    assert ended.exit_code == 0, ended


def test_a_budget_that_nobody_can_tell_is_not_taken_for_one_that_is_left(promised: World) -> None:
    promised.standin.watch.silent = True
    ended = promised.release()
    assert ended.exit_code == 2
    assert (
        "Whether dev has any error budget left is not known (slipway-dev-platform-prometheus-1: "
        "dial tcp 127.0.0.1: connection refused)"
    ) in ended.errors
    assert promised.release("--spend-budget", "Prometheus is what is broken").exit_code == 0


def test_where_a_spent_budget_only_warns_a_release_goes_on(watched: World) -> None:
    watched.standin.watch.budgets = {"availability": 0.0}
    watched.change("services/backend/app.py")
    ended = watched.release()
    assert ended.exit_code == 0, ended
    assert "warning: error budget is spent: availability 0% left" in ended.errors


def test_a_budget_is_not_kept_where_nobody_measures_it(released: World) -> None:
    released.configure(error_budget="refuse")
    ended = released.release("--plan")
    assert ended.exit_code == 2
    assert (
        "error_budget: 'refuse' is wrong (with `monitoring: none` nobody measures" in ended.errors
    )


def test_a_status_says_what_fires_and_what_budget_is_left(watched: World) -> None:
    watched.standin.watch.budgets = {"availability": 0.875}
    said = watched.invoke("status", "--env", "dev").output
    assert "  alerts: none\n  error budget left: availability 88%" in said
    watched.standin.watch.fire("DatabaseDown", "page")
    watched.standin.watch.fire("BackendDown", "page", inhibited=True)
    said = watched.invoke("status", "--env", "dev").output
    assert "  alerts: DatabaseDown (page); see invoke alerts --env dev\n" in said
    told = json.loads(watched.invoke("status", "--env", "dev", "--json").output)["monitoring"]
    assert [each["name"] for each in told["alerts"]] == ["DatabaseDown", "BackendDown"]
    watched.standin.watch.silent = True
    said = watched.invoke("status", "--env", "dev").output
    assert "monitoring DOES NOT ANSWER" in said
    assert "alerts: none" not in said


def test_each_release_is_shown_on_the_console_good_or_bad(watched: World) -> None:
    shown = watched.standin.watch
    assert [line["result"] for line in shown.releases] == ["done", "done"]
    assert shown.releases[-1]["steps"]
    watched.standin.faults.service["worker"] = "exited"
    watched.change("services/backend/app.py")
    assert watched.release().exit_code == 1
    assert [line["result"] for line in shown.releases] == ["done", "done", "failed"]
    assert shown.releases[-1]["reason"]


def test_a_console_that_does_not_answer_is_told_and_fails_no_release(watched: World) -> None:
    watched.standin.watch.silent = True
    watched.change("services/backend/app.py")
    ended = watched.release()
    assert ended.exit_code == 0, ended
    assert "the console does not show this release yet" in ended.errors
