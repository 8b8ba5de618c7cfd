"""Before the schema changes there is a recovery point, or a reason to go without."""

from __future__ import annotations

from dataclasses import replace

import pytest
from running_dev import PLATFORM, RUNNING, WANT, container, stack

from slipway.config import secrets
from slipway.errors import Refused
from slipway.facts.backup import Point, Points
from slipway.plans import backup, release
from slipway.plans.release import Have, Plan, Want
from slipway.plans.steps import Kind

NOW = 1_700_000_000.0
HOUR = 3600.0
WITH_BACKUPS = stack(*PLATFORM, "backup")
MIGRATES = replace(WANT, platform=WITH_BACKUPS, app=stack(backend="backend-2"), migrates=True)
UNTIL_NOW = replace(RUNNING, state=replace(RUNNING.state, now=NOW))


def points(*ages: float) -> Points:
    """Points that are so many seconds old."""
    made = [Point(f"p{number}", NOW - age, "incr", 1) for number, age in enumerate(ages, 1)]
    return Points(tuple(made))


def backed_up(found: Points | None, health: str = "healthy") -> Have:
    """The same environment with a backup service that says this."""
    given = dict.fromkeys((*WANT.secrets, *MIGRATES.parts.made), "1")
    service = container("slipway-dev-platform", "backup", health=health)
    engine = replace(UNTIL_NOW.engine, containers=(*UNTIL_NOW.engine.containers, service))
    state = replace(UNTIL_NOW.state, secrets=given, handed=given)
    return replace(UNTIL_NOW, engine=engine, state=state, points=found)


def kinds(plan: Plan) -> list[str]:
    return [str(step.kind) for step in plan.steps]


@pytest.mark.parametrize(
    ("ages", "taken", "rests_on"),
    [
        ((), True, ""),
        ((2 * HOUR,), True, ""),
        ((9 * HOUR, HOUR - 1), False, "p2"),
        ((HOUR,), True, ""),
        ((-60.0,), False, "p1"),
    ],
    ids=["none", "old", "fresh", "just too old", "from a clock that is ahead"],
)
def test_a_point_is_taken_unless_there_is_a_fresh_one(
    ages: tuple[float, ...], taken: bool, rests_on: str
) -> None:
    plan = release.plan(MIGRATES, backed_up(points(*ages)))
    assert plan.point == rests_on
    assert ("point" in kinds(plan)) is taken
    if taken:
        assert kinds(plan).index("point") + 1 == kinds(plan).index("migrate")


@pytest.mark.parametrize(
    "want",
    [
        replace(MIGRATES, migrates=False),
        replace(MIGRATES, without_point="the repository's disk is being replaced"),
        replace(MIGRATES, goes_back=True),
        replace(MIGRATES, platform=WANT.platform),
    ],
    ids=["no schema change", "a reason", "a rollback", "no backups"],
)
def test_otherwise_none_is_taken_and_nobody_is_asked(want: Want) -> None:
    plan = release.plan(want, backed_up(None))
    assert "point" not in kinds(plan)
    assert plan.point == ""
    backup.refuse(want, backed_up(None), plan.steps)


def test_a_first_release_has_nothing_to_lose() -> None:
    state = replace(backed_up(None).state, ledger=())
    first = replace(backed_up(None), state=state, active=None)
    plan = release.plan(MIGRATES, first)
    assert "migrate" in kinds(plan)
    assert "point" not in kinds(plan)
    backup.refuse(MIGRATES, first, plan.steps)


def test_a_service_that_does_not_answer_is_a_refusal_with_both_ways_on() -> None:
    have = backed_up(None)
    plan = release.plan(MIGRATES, have)
    with pytest.raises(Refused) as refused:
        backup.refuse(MIGRATES, have, plan.steps)
    assert "--without-point REASON" in str(refused.value)
    assert "next: invoke logs --env dev --service backup" in str(refused.value)


@pytest.mark.parametrize(
    "have",
    [
        UNTIL_NOW,
        backed_up(None, "unhealthy"),
    ],
    ids=["new", "ill"],
)
def test_a_service_that_this_release_starts_is_asked_afterwards(have: Have) -> None:
    plan = release.plan(MIGRATES, have)
    backup.refuse(MIGRATES, have, plan.steps)
    assert kinds(plan).index("platform") < kinds(plan).index("point") < kinds(plan).index("migrate")


def test_a_release_does_not_rest_on_a_point_whose_copy_is_gone() -> None:
    found = Points((Point("p1", NOW - 60, "incr", 1, repositories=()),))
    plan = release.plan(MIGRATES, backed_up(found))
    assert plan.point == ""
    assert "point" in kinds(plan)


def test_a_point_that_came_by_itself_meanwhile_does_not_stop_a_release() -> None:
    planned = release.plan(MIGRATES, backed_up(points(2 * HOUR)))
    assert planned.holds(release.plan(MIGRATES, backed_up(points(2 * HOUR, 1.0))))


def test_a_plan_is_not_another_one_because_the_newest_point_grew_older() -> None:
    one, other = (release.plan(MIGRATES, backed_up(points(age * HOUR))) for age in (2, 3))
    assert one.hash == other.hash


class TestService:
    """It is changed in place, after the database, and goes when no backups are wanted."""

    def test_it_starts_where_there_is_none_and_its_secrets_are_made(self) -> None:
        plan = release.plan(replace(WANT, platform=WITH_BACKUPS), UNTIL_NOW)
        assert kinds(plan) == ["secret", "platform"]
        made = {*secrets.PLAIN, "backup_key", "backup_token", "backup.crt", "backup.key"}
        assert set(plan.steps[0].reason.removeprefix("made: ").split(", ")) == made

    def test_a_change_is_no_gap_that_anybody_notices(self) -> None:
        hashes = {**WITH_BACKUPS.hashes, "backup": "backup-2"}
        changed = replace(WITH_BACKUPS, hashes=hashes)
        plan = release.plan(replace(WANT, platform=changed), backed_up(None))
        assert [step.subject for step in plan.of(Kind.PLATFORM)] == ["backup"]
        assert "nobody waits for it" in plan.of(Kind.PLATFORM)[0].reason

    def test_it_goes_when_it_is_wanted_no_more_and_its_volume_stays(self) -> None:
        plan = release.plan(WANT, backed_up(None))
        assert [step.subject for step in plan.of(Kind.DISMISS)] == ["backup"]
        assert "what it keeps stays" in plan.of(Kind.DISMISS)[0].reason

    def test_nothing_is_to_be_done_where_it_is_as_it_should_be(self) -> None:
        assert release.plan(replace(WANT, platform=WITH_BACKUPS), backed_up(None)).empty
