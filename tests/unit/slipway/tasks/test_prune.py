"""No disk fills up, and no way back is lost, through the task that a person types."""

from __future__ import annotations

import pytest
from docker import APIClient
from docker.errors import DockerException
from requests.exceptions import ReadTimeout
from standin_world import World

from slipway import publishing


def backends(world: World) -> set[str]:
    """The digests of the backends that the engine has."""
    return {
        digest
        for name, digest in world.standin.store.tags.items()
        if name.startswith("slipway/backend") and digest not in world.standin.absent
    }


def released_backends(world: World) -> list[str]:
    """The backends of the ledger's lines, the newest last."""
    return [line["images"]["backend"].partition("@")[2] for line in world.ledger()]


def test_every_release_ends_with_a_prune_and_keeps_the_ways_back(released: World) -> None:
    for _ in range(4):
        released.change("services/backend/app.py")
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
    assert "prune" in ended.output
    ways = released_backends(released)
    assert backends(released) == set(ways[-3:])
    # Other checkouts may go back to what the registry holds: that is left to `invoke prune`.
    assert set(released.standin.store.manifests) >= set(ways)
    assert "registry stop" not in released.standin.changes
    assert released.standin.cache_kept == 10 << 30
    # Two that the engine kept, and two that it fetches again.
    for _ in range(4):
        assert released.invoke("rollback", "--env", "dev").exit_code == 0
    assert released.invoke("rollback", "--env", "dev").exit_code == 2


@pytest.mark.parametrize(
    "error",
    [ReadTimeout("Read timed out. (read timeout=60)"), DockerException("the engine hung up")],
)
def test_a_prune_that_the_engine_does_not_finish_takes_nothing_from_a_good_release(
    released: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def slow(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(APIClient, "prune_builds", slow)
    released.configure(retention={"releases": 1, "build_cache_gib": 10})
    for _ in range(2):
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 0
        assert "dev serves generation" in ended.output
    assert f"not everything was pruned that could be: {error}" in ended.errors


def test_its_plan_names_what_goes_and_touches_nothing(released: World) -> None:
    old = released.standin.store.push_image("slipway/backend", "old")
    ended = released.invoke("prune", "--env", "dev", "--plan")
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "engine    slipway/backend:old" in ended.output
    assert f"registry  slipway/backend@{old[:19]}" in ended.output
    assert released.standin.changes == []


def test_the_registrys_garbage_is_collected_while_it_is_stopped(released: World) -> None:
    released.standin.store.push_image("slipway/backend", "old")
    released.standin.run_registry()
    ended = released.invoke("prune", "--env", "dev")
    assert (ended.exit_code, ended.errors) == (0, "")
    order = [each for each in released.standin.changes if each.startswith("registry")]
    assert order == ["registry stop", "registry garbage-collect", "registry start"]
    released.standin.forget()
    ended = released.invoke("prune", "--env", "dev", "--plan")
    assert "slipway/backend" not in ended.output


def test_a_registry_that_a_killed_prune_left_stopped_is_named_with_what_starts_it(
    released: World,
) -> None:
    released.standin.store.gone = True
    for words in (("prune",), ("release", "--plan")):
        ended = released.invoke(words[0], "--env", "dev", *words[1:])
        assert ended.exit_code == 2
        assert f"{words[0]}: registry-gone: " in ended.errors
        assert "next: invoke host.prepare" in ended.errors
    assert released.standin.changes == []


def test_what_other_checkouts_environments_run_stays(released: World) -> None:
    """Their ledgers are on engines that nobody here knows of; the registry knows what they run."""
    first = released.ledger()[0]
    where = released.standin.registry
    (theirs,) = released_backends(released)
    for _ in range(4):
        released.change("services/backend/app.py")
        assert released.release().exit_code == 0
    told = released.invoke("prune", "--env", "dev", "--plan").output
    assert f"registry  slipway/backend@{theirs[:19]}" in told
    publishing.announce(where, "elsewhere", first["manifest"])
    told = released.invoke("prune", "--env", "dev", "--plan").output
    assert "registry  slipway/backend@" in told
    assert theirs[:19] not in told


def test_what_other_checkouts_environments_can_go_back_to_stays(world: World) -> None:
    """As long as it lies in their retention; the ledger itself is out of sight here."""
    assert world.release().exit_code == 0
    for _ in range(4):
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
    dead, *ways = released_backends(world)[-4:]
    # Their engine is another one.
    world.standin.containers.clear()
    world.standin.volumes.pop("slipway-dev-state")
    told = world.invoke("prune", "--env", "dev", "--plan").output
    assert f"slipway/backend@{dead[:19]}" in told
    for way in ways:
        assert way[:19] not in told


def test_nothing_goes_while_an_environment_is_released(released: World) -> None:
    released.standin.store.push_image("slipway/backend", "old")
    released.standin.change_lease(expires=1e11, purpose="release 3f", holder="anna@desk")
    ended = released.invoke("prune", "--env", "dev")
    assert ended.exit_code == 2
    assert "anna@desk is busy with release 3f of dev" in ended.errors
    assert released.standin.changes == []
