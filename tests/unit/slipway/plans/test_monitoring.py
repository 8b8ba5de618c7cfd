"""The steps that start, replace and dismiss those who watch, and the user that one of them is."""

from __future__ import annotations

from dataclasses import replace

from slipway.config import names, secrets
from slipway.config.monitoring import SERVICES
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import monitoring, release
from slipway.plans.release import Have, Want
from slipway.plans.stacks import Stack
from slipway.plans.steps import Kind, Step

PLATFORM = ("edge", "edge-b", "door", "postgres")


def stack(*services: str, **hashes: str) -> Stack:
    """A stack of these services, each with a hash of the first version, or the one given."""
    known = {name: f"{name}-1" for name in services} | hashes
    return Stack("", {"services": {name: {} for name in known}}, known)


def container(project: str, service: str) -> Container:
    """A container that is as the first version of its stack wants it."""
    return Container(
        id=f"{project}-{service}",
        name=f"{project}-{service}",
        project=project,
        service=service,
        image="image",
        config_hash=f"{service}-1",
        release="3f2a",
        state="running",
        health="healthy",
        exit_code=0,
        out_of_memory=False,
        restarts=0,
        started="",
        memory_limit=0,
        probes=(),
    )


WANT = Want(
    environment="dev",
    platform=stack(*PLATFORM),
    app=stack("backend"),
    secrets=tuple(secret.name for secret in secrets.SECRETS),
    secrets_generated=True,
    certificate_due=False,
    soak_seconds=0,
)
WATCHED = replace(WANT, platform=stack(*PLATFORM, *SERVICES))
MADE = WATCHED.parts.made
RUNNING = Have(
    engine=EngineFacts(
        containers=(
            *(container(names.platform_project("dev"), each) for each in PLATFORM[::3]),
            container(names.platform_project("dev"), "door"),
            container(names.generation_project("dev", 1), "backend"),
        ),
        networks=frozenset(names.network("dev", each) for each in names.NETWORKS),
        volumes=frozenset(names.volumes("dev")),
    ),
    state=StateFacts(
        ledger=({"generation": 1, "result": "done", "version": "3f2a"},),
        secrets=dict.fromkeys(WANT.secrets, "1"),
        handed=dict.fromkeys(WANT.secrets, "1"),
    ),
    active=1,
    door="edge",
)


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
