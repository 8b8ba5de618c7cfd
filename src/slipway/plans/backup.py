"""The steps of a release that concern backups: the service itself, and a point to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slipway.config.backup import FRESH_SECONDS, SERVICE
from slipway.errors import Refused
from slipway.facts.backup import Points
from slipway.facts.engine import Container
from slipway.plans.steps import Kind, Step

if TYPE_CHECKING:
    from slipway.plans.release import Have, Want

CATCHES_UP = " (in place: nobody waits for it, and it catches up)"


def service(want: Want, found: Mapping[str, Container], wrong: str) -> list[Step]:
    """The step that puts the backup service right; `wrong` says why it has to be replaced."""
    there = SERVICE in found
    if SERVICE not in want.platform.hashes:
        gone = Step(Kind.DISMISS, SERVICE, "no backups are wanted; what it keeps stays")
        return [gone] if there else []
    if not there:
        return [Step(Kind.PLATFORM, SERVICE, "does not run yet")]
    if not wrong:
        return []
    return [Step(Kind.PLATFORM, SERVICE, wrong + CATCHES_UP, recreate=True)]


def wanted(want: Want, have: Have) -> bool:
    """Whether a release has to leave a point behind it: it changes a schema that has data."""
    return (
        SERVICE in want.platform.hashes
        and want.migrates
        and not want.goes_back
        and not want.without_point
        and have.state.committed is not None
    )


def fresh(points: Points | None, now: float) -> str:
    """The newest point's id while a release can rest on it; empty without such a one."""
    newest = points.newest if points else None
    if newest is None or not newest.repositories:
        return ""
    return newest.id if now - newest.time < FRESH_SECONDS else ""


def point(want: Want, have: Have) -> list[Step]:
    """The step that takes a point before the schema is changed; none where one is fresh."""
    if not wanted(want, have) or fresh(have.points, have.state.now):
        return []
    # Without the age of the newest one, which would make another plan of it every minute.
    return [Step(Kind.POINT, "recovery point", "before the schema changes: none is fresh")]


def refuse(want: Want, have: Have, steps: tuple[Step, ...]) -> None:
    """Refuse to change a schema while the backup service cannot say what there is to go back to.

    One that this release starts or replaces is asked afterwards. Raises Refused.
    """
    changed = any(step.subject == SERVICE for step in steps)
    migrates = any(step.kind is Kind.MIGRATE for step in steps)
    if have.points is not None or changed or not (migrates and wanted(want, have)):
        return
    raise Refused(
        f"The backup service of {want.environment} does not answer, and this release changes the "
        "schema: without a recovery point there is no way back for the data. Nothing was touched. "
        "See its log; `invoke release --without-point REASON` goes on without one",
        next_command=f"invoke logs --env {want.environment} --service {SERVICE}",
    )
