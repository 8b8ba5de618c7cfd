"""What a release will do, as the operator reads it: a case is (have, want) -> plans/cases/*.txt.

Every case is run twice: after its steps are done, the next plan is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from running_dev import DEV, container

from slipway.config import names, secrets
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import release
from slipway.plans.differences import Difference
from slipway.plans.release import Have, Plan, Want
from slipway.plans.stacks import Stack
from slipway.plans.steps import Kind

CASES = Path(__file__).parent / "cases"
REPLICAS = {"backend": 2, "worker": 1}


def stack(hashes: dict[str, str]) -> Stack:
    services = {name: {"scale": REPLICAS.get(name, 1)} for name in hashes}
    return Stack(project="", document={"services": services}, hashes=hashes)


def platform(**hashes: str) -> tuple[Container, ...]:
    project = names.platform_project(DEV)
    return tuple(
        container(project, service, config_hash=hashes.get(service, f"{service}-1"))
        for service in ("edge", "postgres", "door")
    )


def other_edge(**changes: Any) -> tuple[Container, ...]:
    project = names.platform_project(DEV)
    return (replace(container(project, "edge-b", config_hash="edge-b-1"), **changes),)


def platform_stack(version: str = "1", **hashes: str) -> Stack:
    """The platform whose edges and door are of this version."""
    services = ("edge", "edge-b", "door", "postgres")
    usual = {name: f"{name}-{version if name in names.EDGES else 1}" for name in services}
    return stack({**usual, **hashes})


def generation(number: int, version: str = "1", **changes: Any) -> tuple[Container, ...]:
    project = names.generation_project(DEV, number)
    return tuple(
        container(project, service, each, **{"config_hash": f"{service}-{version}", **changes})
        for service, count in REPLICAS.items()
        for each in range(1, count + 1)
    )


def line(number: int, result: str = "done") -> dict[str, Any]:
    return {"generation": number, "result": result, "version": "3f2a"}


WANT = Want(
    environment=DEV,
    platform=platform_stack(),
    app=stack({"backend": "backend-1", "worker": "worker-1"}),
    secrets=tuple(secret.name for secret in secrets.SECRETS),
    secrets_generated=True,
    certificate_due=False,
    soak_seconds=0,
)
NEW_APP = replace(WANT, app=stack({"backend": "backend-2", "worker": "worker-2"}))
NEW_SECRET = replace(
    WANT,
    platform=platform_stack(postgres="postgres-2"),
    app=stack({"backend": "backend-2", "worker": "worker-2"}),
)
NEW_EDGE = replace(WANT, platform=platform_stack("2"))
RENEWED = replace(WANT, certificate_due=True)
NOTHING = Have(EngineFacts((), frozenset(), frozenset()), StateFacts(), None)


def have(
    *groups: tuple[Container, ...],
    ledger: tuple[dict[str, Any], ...],
    active: int | None,
    door: str | None = "edge",
) -> Have:
    return Have(
        engine=EngineFacts(
            containers=tuple(each for group in groups for each in group),
            networks=frozenset(names.network(DEV, each) for each in names.NETWORKS),
            volumes=frozenset(names.volumes(DEV)),
        ),
        state=StateFacts(
            ledger=ledger,
            secrets=dict.fromkeys(WANT.secrets, "1"),
            handed=dict.fromkeys(WANT.secrets, "1"),
        ),
        active=active,
        door=door,
    )


def serving(*edges: tuple[Container, ...], door: str | None = "edge") -> Have:
    """Generation 1 runs, and beside database and door these edges."""
    rest = tuple(each for each in platform() if each.service != "edge")
    return have(rest, *edges, generation(1), ledger=(line(1),), active=1, door=door)


RUNNING = have(platform(), generation(1), ledger=(line(1),), active=1)


@dataclass(frozen=True)
class Case:
    """A running environment, a wanted one, and the file with the plan between them."""

    name: str
    want: Want
    have: Have


EDGE = platform()[:1]
NEW_OTHER = other_edge(config_hash="edge-b-2")
NEW_DOOR = replace(WANT, platform=platform_stack("2", door="door-2"))
PUBLISHING = have(
    (replace(EDGE[0], published=frozenset({443})), platform()[1]),
    generation(1),
    ledger=(line(1),),
    active=1,
    door=None,
)


TABLE = (
    Case("first release", WANT, NOTHING),
    Case("first release with supplied secrets", replace(WANT, secrets_generated=False), NOTHING),
    Case("nothing to do", WANT, RUNNING),
    Case("app changed", NEW_APP, RUNNING),
    Case(
        "only the worker changed",
        replace(WANT, app=stack({"backend": "backend-1", "worker": "worker-2"})),
        RUNNING,
    ),
    Case("app changed with a soak", replace(NEW_APP, soak_seconds=600), RUNNING),
    Case(
        "platform changed",
        NEW_EDGE,
        RUNNING,
    ),
    Case(
        "drifted",
        WANT,
        replace(
            RUNNING,
            drift=(
                Difference("slipway-dev-g1-backend-1", "memory", "768 MiB", "1024 MiB"),
                Difference("slipway-dev-g1-backend-2", "environment LOG_LEVEL", "info", "debug"),
                Difference("slipway-dev-platform-edge-1", "restart", "unless-stopped", "no"),
                Difference("slipway-dev-app-data", "container", None, "psql"),
            ),
        ),
    ),
    Case("the other edge was started", NEW_EDGE, serving(EDGE, NEW_OTHER)),
    Case("the other edge was started too early", NEW_EDGE, serving(EDGE, other_edge())),
    Case("the other edge was handed over to", NEW_EDGE, serving(EDGE, NEW_OTHER, door="edge-b")),
    Case("the other edge serves and is changed", NEW_EDGE, serving(other_edge(), door="edge-b")),
    Case("the other edge serves", WANT, serving(other_edge(), door="edge-b")),
    Case("the edge is stopped", WANT, serving((replace(EDGE[0], state="exited", health=""),))),
    Case("the edge is unhealthy", WANT, serving((replace(EDGE[0], health="unhealthy"),))),
    Case("the edge publishes the ports", WANT, PUBLISHING),
    Case("the door and the edge changed", NEW_DOOR, RUNNING),
    Case("the door does not answer", WANT, serving(EDGE, door=None)),
    Case("secret changed", NEW_SECRET, RUNNING),
    Case(
        "platform unhealthy",
        WANT,
        have(
            (platform()[0], replace(platform()[1], health="unhealthy"), platform()[2]),
            generation(1),
            ledger=(line(1),),
            active=1,
        ),
    ),
    Case(
        "killed after the platform started",
        WANT,
        replace(have(platform(), ledger=(), active=None)),
    ),
    Case(
        "killed while the new generation started",
        NEW_APP,
        have(
            platform(),
            generation(1),
            generation(2, "2", health="starting"),
            ledger=(line(1),),
            active=1,
        ),
    ),
    Case(
        "killed after start",
        NEW_APP,
        have(platform(), generation(1), generation(2, "2"), ledger=(line(1),), active=1),
    ),
    Case(
        "killed after switch",
        NEW_APP,
        have(platform(), generation(1), generation(2, "2"), ledger=(line(1),), active=2),
    ),
    Case(
        "killed before commit",
        NEW_APP,
        have(platform(), generation(2, "2"), ledger=(line(1),), active=2),
    ),
    Case(
        "killed after start and the files changed again",
        replace(WANT, app=stack({"backend": "backend-3", "worker": "worker-3"})),
        have(platform(), generation(1), generation(2, "2"), ledger=(line(1),), active=1),
    ),
    Case(
        "unhealthy replica",
        WANT,
        have(
            platform(),
            (*generation(1)[1:], replace(generation(1)[0], health="unhealthy")),
            ledger=(line(1),),
            active=1,
        ),
    ),
    Case(
        "missing replica",
        WANT,
        have(platform(), generation(1)[1:], ledger=(line(1),), active=1),
    ),
    Case(
        "leftover generations",
        WANT,
        have(
            platform(),
            generation(3),
            generation(4, "2"),
            generation(5, "3"),
            ledger=(line(3),),
            active=3,
        ),
    ),
    Case(
        "stopped, and its data kept",
        WANT,
        replace(RUNNING, engine=replace(RUNNING.engine, containers=()), active=None),
    ),
    Case(
        "after a failed release",
        NEW_APP,
        have(platform(), generation(1), ledger=(line(1), line(2, "failed")), active=1),
    ),
    Case(
        "the edge does not answer",
        NEW_APP,
        have(platform(), generation(1), ledger=(line(1),), active=None),
    ),
    Case(
        "the edge serves a generation that is gone",
        WANT,
        have(platform(), ledger=(line(1),), active=1),
    ),
)


def done(want: Want, before: Have, plan: Plan) -> Have:
    """The environment after every step of `plan`, and its commit."""
    engine, state, active = before.engine, before.state, before.active
    containers = list(engine.containers)
    door = before.door or "edge"

    def put(project: str, hosted: Stack, services: tuple[str, ...]) -> None:
        containers[:] = [
            each
            for each in containers
            if (each.project, each.service in services) != (project, True)
        ]
        containers.extend(
            container(project, service, number, config_hash=hosted.hashes[service])
            for service in services
            for number in range(1, hosted.replicas(service) + 1)
        )

    for step in plan.steps:
        project = names.generation_project(DEV, step.generation or 0)
        match step.kind:
            case Kind.NETWORK:
                engine = replace(engine, networks=engine.networks | {step.subject})
            case Kind.VOLUME:
                engine = replace(engine, volumes=engine.volumes | {step.subject})
            case Kind.SECRET:
                given = dict.fromkeys(want.secrets, "1")
                state = replace(state, secrets=given, handed=given)
            case Kind.HAND_OVER:
                assert any(each.service == step.subject for each in containers)
                door = step.subject
            case Kind.LEAVE:
                assert step.subject != door
                containers = [each for each in containers if each.service != step.subject]
            case Kind.PLATFORM | Kind.BESIDE:
                if step.subject == "door":
                    containers = [each for each in containers if not each.published]
                    door = plan.edge
                put(names.platform_project(DEV), want.platform, (step.subject,))
            case Kind.START:
                put(project, want.app, tuple(want.app.hashes))
            case Kind.SWITCH:
                assert any(each.project == project for each in containers)
                active = step.generation
            case Kind.DISCARD | Kind.RETIRE:
                assert step.generation != active
                containers = [each for each in containers if each.project != project]
    state = replace(state, ledger=(*state.ledger, line(plan.generation)))
    made = Have(replace(engine, containers=tuple(containers)), state, active, door)
    # What was replaced is as it was released again; a stranger stays.
    left = tuple(each for each in before.drift if each.attribute == "container")
    return replace(made, drift=left)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_the_plan_is_the_one_in_the_file(case: Case) -> None:
    expected = CASES / f"{case.name.replace(', ', ' ').replace(' ', '-')}.txt"
    plan = release.plan(case.want, case.have)
    shown = "\n".join(each.rstrip() for each in str(plan).splitlines())
    assert shown + "\n" == expected.read_text()


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_after_its_steps_the_next_plan_is_empty(case: Case) -> None:
    plan = release.plan(case.want, case.have)
    after = done(case.want, case.have, plan) if not plan.empty else case.have
    again = release.plan(case.want, after)
    assert again.empty, str(again)


def test_every_file_of_a_plan_is_a_case() -> None:
    known = {case.name.replace(", ", " ").replace(" ", "-") for case in TABLE}
    assert {path.stem for path in CASES.glob("*.txt")} == known


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda want: want, True),
        (lambda want: replace(want, soak_seconds=5), False),
        (lambda want: replace(want, environment="staging"), False),
    ],
)
def test_a_plan_is_named_by_its_steps(change: Callable[[Want], Want], same: bool) -> None:
    one, other = release.plan(NEW_APP, RUNNING), release.plan(change(NEW_APP), RUNNING)
    assert (one.hash == other.hash) is same
    assert len(one.hash) == 12


def ill(found: Have, service: str) -> Have:
    """The same, but for the health of a service."""
    containers = tuple(
        replace(each, health="unhealthy") if each.service == service else each
        for each in found.engine.containers
    )
    return replace(found, engine=replace(found.engine, containers=containers))


class TestHolds:
    """A plan is carried out where it still is what is needed, whatever the health of containers."""

    @pytest.mark.parametrize("service", ["edge", "postgres", "backend", "worker"])
    def test_when_a_container_falls_ill(self, service: str) -> None:
        assert release.plan(NEW_APP, RUNNING).holds(release.plan(NEW_APP, ill(RUNNING, service)))

    @pytest.mark.parametrize("service", ["edge", "postgres", "backend"])
    def test_not_when_what_it_would_replace_is_well_again(self, service: str) -> None:
        planned = release.plan(WANT, ill(RUNNING, service))
        assert not planned.empty
        assert not planned.holds(release.plan(WANT, RUNNING))

    def test_not_when_something_else_is_wanted(self) -> None:
        planned = release.plan(NEW_APP, RUNNING)
        assert not planned.holds(release.plan(replace(NEW_APP, content="other"), RUNNING))

    @pytest.mark.parametrize(
        "changed",
        [
            replace(RUNNING, state=replace(RUNNING.state, journal=({"step": "start"},))),
            replace(RUNNING, state=replace(RUNNING.state, ledger=(line(1), line(2)))),
            replace(RUNNING, active=None),
            replace(
                RUNNING, engine=replace(RUNNING.engine, containers=RUNNING.engine.containers[1:])
            ),
        ],
        ids=["killed release", "finished release", "other generation", "container gone"],
    )
    def test_not_when_another_release_came_between(self, changed: Have) -> None:
        assert not release.plan(NEW_APP, RUNNING).holds(release.plan(NEW_APP, changed))


def test_a_rollback_killed_after_its_switch_is_proved_before_the_other_generation_goes() -> None:
    """Also where what it goes back to is what was released last, and was warm."""
    switched = have(platform(), generation(1), generation(2, "2"), ledger=(line(1),), active=1)
    begun = replace(switched.state, journal=({"kind": "rollback", "step": "switch"},))
    planned = release.plan(replace(WANT, goes_back=True), replace(switched, state=begun))
    assert [str(step.kind) for step in planned.steps] == ["secret", "drain", "prove", "discard"]


def test_a_generation_number_is_never_used_again() -> None:
    gone = have(platform(), ledger=(line(6), line(7, "failed")), active=None)
    assert release.plan(WANT, gone).generation == 8
