"""A second repository on another machine has every point too, and one comes back from it alone.

Each case is tried on a machine that keeps files, and on one that keeps objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from backup_rig import Rig
from bucket_rig import Bucket
from keeper_rig import Keeper

COUNTED = "SELECT count(*) || ' ' || sum(hashtext(text)) FROM chunks"
KEPT = {"full": 1, "differential": 1}
Machine = Keeper | Bucket


@pytest.fixture(scope="module", params=[Keeper, Bucket])
def keeper(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Machine]:
    """The other machine, and a service that writes to it too."""
    made: Machine = request.param(rig)
    rig.put("secrets-backup", made.secrets, 10006)
    _restart(rig, BACKUP_POLICY=policy(rig, made))
    yield made
    _restart(rig)


def policy(rig: Rig, keeper: Machine) -> str:
    """Points when a test takes one, in both repositories."""
    return json.dumps({**rig.never, "second": {**keeper.second, "keep": KEPT}})


def _restart(rig: Rig, **environment: str) -> None:
    rig.end(rig.service)
    rig.service = rig.start_service(**environment)


def test_a_point_is_on_the_other_machine_too_and_is_whole_there(rig: Rig, keeper: Machine) -> None:
    taken = rig.verb("run", "--kind", "full", "--name", f"afar-{keeper.kind}")
    assert taken.code == 0, taken.text
    assert taken.told["missed"] == []
    assert taken.told["point"]["repositories"] == [1, 2]
    verified = rig.verb("verify", "--point", f"afar-{keeper.kind}")
    assert verified.code == 0, verified.text


def test_a_point_comes_back_from_the_other_machine_alone(rig: Rig, keeper: Machine) -> None:
    then = rig.query(COUNTED)
    rig.query("DELETE FROM chunks WHERE id IN (SELECT id FROM chunks LIMIT 10)")
    rig.volume("lost", type="tmpfs", device="tmpfs", o="size=64m,uid=10006,gid=10006,mode=0750")
    volume, files = f"from-{keeper.kind}", f"files-from-{keeper.kind}"
    rig.postgres_volume(volume)
    rig.put(files, {}, 10001)
    answer = rig.restore(
        *("--point", f"afar-{keeper.kind}", "--files", "/restore/files"),
        volume=volume,
        mounts={files: "/restore/files"},
        repository="lost",
        network=True,
        BACKUP_POLICY=policy(rig, keeper),
    )
    assert answer.code == 0, answer.text
    assert answer.told["restored"]["repository"] == 2
    assert answer.told["restored"]["files"] == len(rig.names)
    with rig.restored(volume) as server:
        assert rig.query(COUNTED, server) == then


def test_a_drill_proves_it_there(rig: Rig, keeper: Machine) -> None:
    held = rig.verb("drill", "--repository", "2")
    assert held.code == 0, held.text
    assert held.told["drill"]["repository"] == 2


def test_each_keeps_as_many_as_its_own_policy_says(rig: Rig, keeper: Machine) -> None:
    again = rig.verb("run", "--kind", "full")
    assert again.code == 0, again.text
    assert again.told["point"]["repositories"] == [1, 2]
    listed = {each["name"]: each["repositories"] for each in rig.verb("list").told["points"]}
    assert listed[f"afar-{keeper.kind}"] == [1]


# pgBackRest and restic try a bucket again for minutes, and an SFTP server once.
@pytest.mark.parametrize(
    "keeper", [Keeper, pytest.param(Bucket, marks=pytest.mark.exhaustive)], indirect=True
)
def test_while_the_other_machine_is_away_points_go_on_and_say_so(rig: Rig, keeper: Machine) -> None:
    with keeper.away():
        alone = rig.verb("run")
        assert alone.code == 0, alone.text
        assert "repository 2" in alone.told["missed"][0]
        assert alone.told["point"]["repositories"] == [1]
    again = rig.verb("run")
    assert again.code == 0, again.text
    assert again.told["point"]["repositories"] == [1, 2]
