"""A second repository on another machine has every point too, and one comes back from it alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from backup_rig import Rig
from keeper_rig import Keeper

COUNTED = "SELECT count(*) || ' ' || sum(hashtext(text)) FROM chunks"


@pytest.fixture(scope="module")
def keeper(rig: Rig) -> Iterator[Keeper]:
    """The other machine, and a service that writes to it too."""
    made = Keeper(rig)
    rig.put("secrets-backup", made.secrets, 10006)
    _restart(rig, BACKUP_POLICY=json.dumps({**rig.never, "second": made.second}))
    yield made
    _restart(rig)


def _restart(rig: Rig, **environment: str) -> None:
    rig.end(rig.service)
    rig.service = rig.start_service(**environment)


def test_a_point_is_on_the_other_machine_too_and_is_whole_there(rig: Rig, keeper: Keeper) -> None:
    taken = rig.verb("run", "--kind", "full", "--name", "afar")
    assert taken.code == 0, taken.text
    assert taken.told["missed"] == []
    assert taken.told["point"]["repositories"] == [1, 2]
    verified = rig.verb("verify", "--point", "afar")
    assert verified.code == 0, verified.text


def test_a_point_comes_back_from_the_other_machine_alone(rig: Rig, keeper: Keeper) -> None:
    then = rig.query(COUNTED)
    rig.query("DELETE FROM chunks WHERE id IN (SELECT id FROM chunks LIMIT 10)")
    rig.volume("lost", type="tmpfs", device="tmpfs", o="size=64m,uid=10006,gid=10006,mode=0750")
    rig.postgres_volume("from-afar")
    rig.put("files-from-afar", {}, 10001)
    answer = rig.restore(
        *("--point", "afar", "--files", "/restore/files"),
        volume="from-afar",
        mounts={"files-from-afar": "/restore/files"},
        repository="lost",
        network=True,
        BACKUP_POLICY=json.dumps({**rig.never, "second": keeper.second}),
    )
    assert answer.code == 0, answer.text
    assert answer.told["restored"]["repository"] == 2
    assert answer.told["restored"]["files"] == len(rig.names)
    with rig.restored("from-afar") as server:
        assert rig.query(COUNTED, server) == then


def test_a_drill_proves_it_there(rig: Rig, keeper: Keeper) -> None:
    held = rig.verb("drill", "--repository", "2")
    assert held.code == 0, held.text
    assert held.told["drill"]["repository"] == 2


def test_while_the_other_machine_is_away_points_go_on_and_say_so(rig: Rig, keeper: Keeper) -> None:
    keeper.container.stop()
    try:
        alone = rig.verb("run")
        assert alone.code == 0, alone.text
        assert "repository 2" in alone.told["missed"][0]
        assert alone.told["point"]["repositories"] == [1]
    finally:
        keeper.container.start()
    again = rig.verb("run")
    assert again.code == 0, again.text
    assert again.told["point"]["repositories"] == [1, 2]
