"""What a release promises, through the task that a person types, on the stand-in engine."""

from __future__ import annotations

from standin_world import World


def test_a_first_release_serves_and_says_where(world: World) -> None:
    ended = world.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    print(ended.output)
    assert world.generations() == {"slipway-dev-g1"}


def test_a_second_release_touches_nothing(world: World) -> None:
    world.released()
    ended = world.release()
    assert ended.exit_code == 0
    assert "Nothing was touched" in ended.output
    assert world.standin.changes == []
