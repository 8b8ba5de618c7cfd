"""A real fault is measured, told on every way, and told again when it is over."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from site_copy import NAME, ROOT
from watch_rig import ALERTS, WAYS, Watched

from slipway.config.monitoring import SERVICES
from slipway.facts import git
from slipway.report import Result, write

JOBS = {
    *("alertmanager", "backend", "database", "edge", "engine", "host", "probe", "prometheus"),
    "worker",
}


@pytest.fixture(scope="module")
def measured(watched: Watched) -> object:
    """What the tests measure; written to reports/monitoring.json at the end."""
    found: list[Result] = []
    yield found
    engine = str(watched.engine.version()["Version"])
    write(ROOT / "reports", "monitoring", found, commit=git.read(ROOT).short, engine=engine)


def test_everything_that_is_asked_answers(watched: Watched) -> None:
    serving = ("backend", str(watched.site.status()["generation"]))

    def answering() -> bool:
        found = watched.values("up")
        backends = [each for each, _ in found if each["job"] == "backend"]
        return (
            {each["job"] for each, _ in found} == JOBS
            and all(value for _, value in found)
            and {(each["service"], each["generation"]) for each in backends} == {serving}
        )

    watched.eventually(answering, "figures of every part, and of one generation")
    assert watched.values("pg_up") != []


def test_the_known_question_is_answered_through_the_door(watched: Watched) -> None:
    watched.eventually(lambda: dict_of(watched, "slipway_probe_success") == [1.0], "an answer")
    (expires,) = dict_of(watched, "slipway_certificate_expiry_timestamp_seconds - time()")
    assert 0 < expires < 400 * 86400


def test_the_terminal_says_that_all_is_well(watched: Watched) -> None:
    def said() -> bool:
        text = watched.site.invoke("status", "--env", NAME).text
        return "alerts: none" in text and "error budget left: availability 100%" in text

    watched.eventually(said, "no alert and a whole budget")


def dict_of(watched: Watched, expression: str) -> list[float]:
    return [value for _, value in watched.values(expression)]


def test_a_dead_man_is_noticed_because_he_speaks_all_the_time(watched: Watched) -> None:
    def spoke() -> bool:
        found = watched.told("dead-man")
        return len(found) >= 2

    watched.eventually(spoke, "two words of the dead man's switch")
    assert not watched.heard("webhook", "Watchdog", "firing")


def test_all_of_monitoring_is_small(watched: Watched, measured: list[Result]) -> None:
    services = "|".join(SERVICES)
    (held,) = dict_of(watched, f'sum(slipway_container_memory_bytes{{service=~"{services}"}})')
    (busy,) = dict_of(
        watched, f'sum(rate(slipway_container_cpu_seconds_total{{service=~"{services}"}}[3m]))'
    )
    measured.append(Result("monitoring full: resident", round(held / 2**20), "MiB", "<= 1024"))
    measured.append(Result("monitoring full: processor", round(busy, 3), "cores", "<= 0.1"))
    assert held < 2**30


def test_a_stopped_database_is_one_page_on_every_way(
    watched: Watched, measured: list[Result]
) -> None:
    database = watched.container("postgres")
    before = len(watched.told("webhook"))
    database.stop()
    try:
        seconds = watched.eventually(
            lambda: all(watched.heard(way, "DatabaseDown", "firing") for way in WAYS),
            "DatabaseDown on every way",
        )
        measured.append(Result("stopped database: told on every way", round(seconds), "s"))
        # Long enough for what follows from it to be told, if it were.
        time.sleep(60)
        told = {
            alert["labels"]["alertname"]
            for content in watched.told("webhook")[before:]
            for alert in content["alerts"]
            if alert["labels"]["severity"] == "page" and alert["status"] == "firing"
        }
        assert told == {"DatabaseDown"}
        silence(watched)
    finally:
        database.start()
    seconds = watched.eventually(
        lambda: all(watched.heard(way, "DatabaseDown", "resolved") for way in WAYS),
        "the end of DatabaseDown on every way",
    )
    measured.append(Result("database started: told on every way", round(seconds), "s"))


def silence(watched: Watched) -> None:
    """Have the alert silenced and told again, as whoever repairs the database would."""
    site = watched.site
    said = site.invoke("alerts", "--env", NAME).text
    assert said.startswith("page")
    assert "docs/runbooks/DatabaseDown.md" in said
    words = ("--alert", "DatabaseDown", "--duration", "10m", "--reason", "it is being repaired")
    assert site.invoke("silence", "--env", NAME, *words).exit_code == 0
    watched.eventually(
        lambda: "(silenced" in site.invoke("alerts", "--env", NAME).text, "the silence"
    )
    (held,) = json.loads(site.invoke("silence.list", "--env", NAME, "--json").text)
    assert held["matchers"] == ["alertname=DatabaseDown"]
    assert held["reason"] == "it is being repaired"
    assert site.invoke("silence.end", "--env", NAME, "--id", held["id"]).exit_code == 0
    assert "Nothing is silenced" in site.invoke("silence.list", "--env", NAME).text


def test_a_fault_costs_error_budget_and_who_cannot_tell_how_much_stops_a_release(
    watched: Watched,
) -> None:
    site = watched.site
    more = {"backend": 2, "worker": 2}
    site.set_environment(monitoring="full", alerts=ALERTS, error_budget="refuse", replicas=more)

    def planned(*words: str) -> Any:
        return site.invoke("release", "--env", NAME, "--plan", *words)

    def spent() -> bool:
        left = re.search(r"error budget left:\n *availability (\d+)%", planned().text)
        return left is not None and 50 < int(left[1]) < 100

    watched.eventually(spent, "the fault's share of the budget")
    watched.container("prometheus").stop()
    try:
        refused = planned()
        assert refused.exit_code == 2
        assert f"Whether {NAME} has any error budget left is not known" in refused.text
        assert planned("--spend-budget", "this mends it").exit_code == 0
    finally:
        watched.start("prometheus")
        site.set_environment(monitoring="full", alerts=ALERTS)


@pytest.mark.exhaustive
def test_a_killed_backend_is_told_though_users_are_served(
    watched: Watched, measured: list[Result]
) -> None:
    backend = watched.container("backend", 2)
    backend.kill()
    try:
        seconds = watched.eventually(
            lambda: watched.heard("webhook", "ContainerDown", "firing"), "ContainerDown"
        )
        measured.append(Result("killed backend: told", round(seconds), "s"))
        assert dict_of(watched, "slipway_probe_success") == [1.0]
    finally:
        backend.start()
    watched.eventually(
        lambda: watched.heard("webhook", "ContainerDown", "resolved"), "the end of ContainerDown"
    )


def test_nothing_is_left_to_do_afterwards(watched: Watched) -> None:
    answer = watched.site.invoke("release", "--env", NAME)
    assert answer.exit_code == 0, answer.text
    assert "Nothing to do" in answer.text
