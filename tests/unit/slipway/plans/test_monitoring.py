"""The steps that start, replace and dismiss those who watch, and the user that one of them is."""

from __future__ import annotations

from dataclasses import replace

from running_dev import PLATFORM, RUNNING, WANT, container, stack

from slipway.config import names
from slipway.config.monitoring import SERVICES
from slipway.plans import monitoring, release
from slipway.plans.release import Have, Want
from slipway.plans.steps import Kind, Step

WATCHED = replace(WANT, platform=stack(*PLATFORM, *SERVICES))
MADE = WATCHED.parts.made


def with_watchers(have: Have) -> Have:
    """The same, with everything of monitoring as it should be."""
    project = names.platform_project("dev")
    made = tuple(container(project, name) for name in SERVICES)
    engine = replace(have.engine, containers=(*have.engine.containers, *made))
    known = dict.fromkeys(MADE, "1")
    state = replace(
        have.state, secrets={**have.state.secrets, **known}, handed={**have.state.handed, **known}
    )
    return replace(have, engine=engine, state=state)


def steps(want: Want, have: Have) -> list[Step]:
    return [step for step in release.plan(want, have).steps if step.subject in SERVICES]


def test_they_are_started_one_by_one_what_is_asked_before_who_asks() -> None:
    found = steps(WATCHED, RUNNING)
    assert [step.subject for step in found] == list(SERVICES)
    assert {step.kind for step in found} == {Kind.PLATFORM}


def test_the_user_of_the_probe_is_made_by_a_migration() -> None:
    migrations = release.plan(WATCHED, RUNNING).of(Kind.MIGRATE)
    assert [step.reason for step in migrations] == ["the probe's user is made"]
    have = with_watchers(RUNNING)
    changed = replace(have.state, secrets={**have.state.secrets, monitoring.PASSWORD: "2"})
    assert release.plan(WATCHED, replace(have, state=changed)).of(Kind.MIGRATE)


def test_what_is_as_it_should_be_is_left_alone() -> None:
    assert release.plan(WATCHED, with_watchers(RUNNING)).empty


def test_one_that_changed_is_replaced_in_place_and_nobody_waits() -> None:
    want = replace(WANT, platform=stack(*PLATFORM, *SERVICES, prometheus="prometheus-2"))
    (step,) = steps(want, with_watchers(RUNNING))
    assert (step.subject, step.recreate) == ("prometheus", True)
    assert step.reason == "image or configuration changed (in place: no user notices)"


def test_where_nobody_shall_watch_any_more_they_go_and_what_was_measured_stays() -> None:
    found = steps(WANT, with_watchers(RUNNING))
    assert {step.kind for step in found} == {Kind.DISMISS}
    assert [step.subject for step in found] == list(SERVICES)
