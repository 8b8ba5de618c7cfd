"""`invoke down` stops an environment; its data goes only on a clear yes."""

from __future__ import annotations

import pytest
from standin_backup import SCHEDULED
from standin_world import Clock, World


def test_containers_and_networks_go_and_data_stays(released: World) -> None:
    volumes = set(released.standin.volumes)
    ended = released.invoke("down", "--env", "dev")
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "Its data is kept; invoke release --env dev starts it." in ended.output
    assert (released.standin.containers, released.standin.networks) == ({}, {})
    assert set(released.standin.volumes) == volumes


def test_the_app_goes_before_the_platform_under_it(released: World) -> None:
    released.invoke("down", "--env", "dev")
    assert released.standin.changes[:2] == ["down slipway-dev-g1", "down slipway-dev-platform"]
    assert released.standin.draining_ended == ["slipway-dev-g1"]


def test_a_second_time_there_is_nothing_to_do(released: World) -> None:
    released.invoke("down", "--env", "dev")
    released.standin.forget()
    ended = released.invoke("down", "--env", "dev")
    assert ended.exit_code == 0
    assert ended.output == "Nothing to do: nothing of dev runs (15 volumes are kept).\n"
    assert released.standin.changes == []


def test_where_nothing_ever_was_there_is_nothing_to_do(world: World) -> None:
    assert world.invoke("down", "--env", "dev").output == "Nothing to do: nothing of dev runs.\n"


def test_a_release_under_way_is_not_pulled_away(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.tasks.down.time", Clock())
    released.standin.toolboxes["slipway-dev-toolbox"] = {}
    ended = released.invoke("down", "--env", "dev", "--volumes", "--yes")
    assert ended.exit_code == 2
    assert "A release of dev is under way. Nothing was stopped." in ended.errors
    assert released.standin.changes == []


def test_an_environment_whose_overlay_is_gone_can_still_be_stopped(released: World) -> None:
    released.layout.overlay("dev").unlink()
    assert released.invoke("down", "--env", "dev").exit_code == 0
    assert released.standin.containers == {}


def test_data_is_not_deleted_without_a_yes(released: World) -> None:
    ended = released.invoke("down", "--env", "dev", "--volumes", typed="y\n")
    assert ended.exit_code == 2
    assert "Delete ALL data of dev (slipway-dev-door, slipway-dev-edge, " in ended.errors
    assert "give --yes to say yes" in ended.errors
    assert released.standin.changes == []


def test_with_a_yes_everything_goes(released: World) -> None:
    ended = released.invoke("down", "--env", "dev", "--volumes", "--yes")
    assert ended.exit_code == 0
    assert ended.output.endswith("dev is gone, with its data.\n")
    assert (released.standin.containers, released.standin.networks) == ({}, {})
    assert released.standin.volumes == {}


def test_backups_do_not_go_with_the_data_by_a_mere_yes(released: World) -> None:
    released.configure(backup=SCHEDULED)
    assert released.release().exit_code == 0
    words = ("down", "--env", "dev", "--volumes")
    for given in (("--yes",), ("--yes-delete", "prod")):
        ended = released.invoke(*words, *given)
        assert ended.exit_code == 2
        assert "slipway-dev-backup" in released.standin.volumes
    assert "give --yes-delete dev" in released.invoke(*words, "--yes").errors
    assert "and its backups on this host?" in released.invoke(*words, "--yes").errors
    assert released.invoke(*words, "--yes-delete", "dev").exit_code == 0
    assert released.standin.volumes == {}


def test_another_name_deletes_nothing(released: World) -> None:
    ended = released.invoke("down", "--env", "dev", "--volumes", "--yes-delete", "prod")
    assert ended.exit_code == 2
    assert "'prod' is not 'dev'. Nothing was changed." in ended.errors


def test_data_that_was_kept_can_go_later(released: World) -> None:
    released.invoke("down", "--env", "dev")
    assert released.invoke("down", "--env", "dev", "--volumes", "--yes").exit_code == 0
    assert released.standin.volumes == {}


def test_what_was_stopped_is_started_again_with_its_data(released: World) -> None:
    password = released.secret("admin_password")
    released.invoke("down", "--env", "dev")
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    assert released.standin.generation == 2
    assert released.secret("admin_password") == password
