"""Whoever restores is killed before, during or after any step: the same again finishes it.

As in test_killed.py, everything is copied at each moment, and the next run starts from each copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import standin_backup
from standin_world import World

RESTORE = ("restore", "--env", "dev", "--to", "p1", "--yes-overwrite", "dev")


def plain(world: World) -> None:
    """A plain server."""
    world.configure(backup=standin_backup.SCHEDULED)


def replicas(world: World) -> None:
    """A primary that is not the first member, with a replica."""
    world.configure(backup=standin_backup.SCHEDULED, database={"replicas": 1, "synchronous": True})


@pytest.mark.parametrize("before", [plain, replicas])
def test_the_same_again_finishes_what_was_killed_at_any_moment(
    world: World, before: Callable[[World], None], ended: dict[str, Any]
) -> None:
    before(world)
    assert world.release().exit_code == 0
    if before is replicas:
        world.standin.primaries["dev"] = "postgres-2"
    standin_backup.made(world.standin.points.setdefault("dev", []), (), 3600)
    old = world.images()
    moments: list[str] = []

    def moment(when: str, step: str) -> None:
        # Before a step everything is as it was after the one before: that one is tried.
        if when == "before" and moments:
            return
        moments.append(f"{len(moments):02} {when} {step.split(maxsplit=1)[0]}")
        world.remember(moments[-1])

    world.standin.on_moment = moment
    assert world.invoke(*RESTORE).exit_code == 0
    steps = {each.split(maxsplit=2)[2] for each in moments}
    assert steps >= {"point", "close", "stop", "restore", "migrate", "start", "switch", "open"}
    assert ("aside" in steps) is (before is replicas)
    # What replicas make another of; the rest is tried with a plain server.
    own = {"stop", "restore", "aside", "platform", "member"}
    for name in moments if before is plain else [each for each in moments if own & {*each.split()}]:
        world.recall(name)
        world.standin.change_lease(process=ended, expires=1e11)
        if name.endswith(("restore", "aside")):
            # Nothing else is started on a database that may be half restored.
            refused = world.release()
            assert refused.exit_code == 2, (name, refused)
        finished = world.invoke(*RESTORE)
        assert finished.exit_code == 0, (name, finished)
        assert world.images() == old, name
        assert world.standin.restored == {"slipway-dev-postgres": "p1"}, name
        assert world.standin.maintenance == {"on": False}, name
        last = world.ledger()[-1]
        assert (last["kind"], last["result"]) == ("restore", "done"), name
        # What was there before is never lost sight of.
        assert last["restore"]["safety"] in {"p2", "p3"}, name
        assert world.standin.toolboxes == {}, name
    assert "Nothing to do" in world.release().output
