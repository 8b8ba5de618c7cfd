"""What a recovery from nothing does, where it is refused, and whose ledger it takes."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.errors import Refused
from slipway.facts.backup import Point, Points
from slipway.facts.engine import EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import disaster, restore
from slipway.plans.disaster import Origin

NOW = 1_800_000_000.0
FOLDER = Origin("/mnt/copy", folder="/mnt/copy")
RELEASE = {"version": "3f2a", "generation": 4}
OLD = Point("p1", NOW - 7200, "full", 1, release=RELEASE)
NEW = Point("p2", NOW - 3600, "incr", 1, release=RELEASE)
POINTS = Points((OLD, NEW), archived=NOW - 60)


def engine(*volumes: str) -> EngineFacts:
    return EngineFacts((), frozenset(), frozenset(f"slipway-dev-{each}" for each in volumes))


def journal(*steps: tuple[str, bool], repository: str = "/mnt/copy") -> StateFacts:
    note: dict[str, Any] = {
        "kind": "restore",
        "restore": {
            "to": "latest",
            "safety": "",
            "closed": False,
            "command": "invoke restore --env dev --from /mnt/copy --key F",
            "repository": repository,
        },
    }
    return StateFacts(journal=tuple({**note, "what": what, "done": done} for what, done in steps))


@pytest.mark.parametrize(
    ("to", "point"),
    [
        ("latest", NEW),
        ("p1", OLD),
        ("2027-01-15T06:30:00Z", NEW),
        ("2027-01-15T07:30:00Z", NEW),
        ("2027-01-15T06:00:00Z", OLD),
    ],
)
def test_the_ledger_is_never_older_than_the_data(to: str, point: Point) -> None:
    wanted = restore.target("dev", to, POINTS, NOW)
    assert disaster.holder("dev", POINTS, wanted) == point


def test_everything_is_planned_and_what_is_lost_is_told() -> None:
    wanted = restore.target("dev", "latest", POINTS, NOW)
    planned = disaster.plan("dev", FOLDER, wanted, POINTS, None, NOW)
    lines = str(planned).splitlines()
    assert lines[0].startswith("rebuild dev as of the end of the archive")
    assert lines[0].endswith("from /mnt/copy:")
    kinds = [line.split()[1] for line in lines[1:6]]
    assert kinds == ["adopt", "state", "secret", "restore", "start"]
    assert "release 3f2a" in lines[5]
    assert lines[6] == "  lost: what was written after 2027-01-15 07:59:00 UTC"


def test_a_point_without_a_release_starts_none() -> None:
    points = Points((Point("p0", NOW, "full", 1, (1,), release={}),))
    wanted = restore.target("dev", "latest", points, NOW)
    said = str(disaster.plan("dev", FOLDER, wanted, points, None, NOW))
    assert " start " not in said
    assert "p0 knows no release that ended: all but a release will be there" in said


def test_what_is_done_is_not_done_again_whatever_it_was_to() -> None:
    left = disaster.begun("dev", engine("state"), journal(("adopt repository", True)))
    wanted = restore.target("dev", "p1", POINTS, NOW)
    planned = disaster.plan("dev", FOLDER, wanted, POINTS, left, NOW)
    assert [step.kind.value for step in planned.steps] == ["state", "secret"]
    assert "goes on with the recovery to latest" in str(planned)


def test_the_second_repository_is_not_copied() -> None:
    wanted = restore.target("dev", "latest", POINTS, NOW)
    planned = disaster.plan("dev", Origin("second", policy="{}"), wanted, POINTS, None, NOW)
    assert [step.kind.value for step in planned.steps] == ["state", "secret"]


def test_what_the_repository_does_not_have_is_told() -> None:
    without = Point("p0", NOW - 9000, "full", 1, repositories=())
    points = Points((without, NEW), damaged=("snapshot 1234abcd: not whole",))
    wanted = restore.target("dev", "latest", points, NOW)
    said = str(disaster.plan("dev", FOLDER, wanted, points, None, NOW))
    assert "cannot be read: snapshot 1234abcd: not whole" in said
    assert "cannot be read: the copies of the database of p0 are not there" in said
    assert "lost: what was written after the end of the archive" in said
    with pytest.raises(Refused, match="that can be read: cut short"):
        disaster.holder("dev", Points(damaged=("cut short",)), wanted)


def test_what_was_made_before_anything_was_noted_is_nothing() -> None:
    early = engine("state", "secrets-edge", "secrets-backup")
    assert disaster.begun("dev", early, StateFacts()) is None
    assert disaster.begun("dev", engine(), None) is None


@pytest.mark.parametrize(
    ("volumes", "known"),
    [
        (("postgres",), None),
        (("state", "files"), StateFacts()),
        (("state",), StateFacts(secrets={"backup_key": "ab"})),
        (("state",), StateFacts(ledger=({"result": "done"},))),
        (("state", "backup"), journal(("restore database and files", False), repository="")),
    ],
)
def test_an_environment_of_which_anything_is_there_is_left_alone(
    volumes: tuple[str, ...], known: StateFacts | None
) -> None:
    with pytest.raises(Refused, match=r"dev lives on this engine.*Nothing was touched"):
        disaster.begun("dev", engine(*volumes), known)


def test_a_recovery_goes_on_only_from_where_it_began() -> None:
    left = disaster.begun("dev", engine("state"), journal(("adopt repository", False)))
    disaster.refuse_other("dev", left, FOLDER)
    with pytest.raises(Refused, match="from /mnt/copy was begun"):
        disaster.refuse_other("dev", left, Origin("/elsewhere", folder="/elsewhere"))


def test_until_the_ledger_is_there_no_other_restore_begins() -> None:
    state = restore.what(disaster.plan(
        "dev", FOLDER, restore.target("dev", "latest", POINTS, NOW), POINTS, None, NOW
    ).steps[1])  # fmt: skip
    with pytest.raises(Refused, match="is being rebuilt from /mnt/copy"):
        restore.refuse_without_state("dev", journal((state, False)).journal)
    restore.refuse_without_state("dev", journal((state, True)).journal)
    restore.refuse_without_state("dev", ())
