"""Going back: all services together, further each time, and never to what cannot work."""

from __future__ import annotations

import pytest
from standin_world import World

from slipway import state
from slipway.facts import migrations, registry
from slipway.facts.manifest import REPOSITORY


def versions(world: World, *numbers: int) -> dict[int, set[str]]:
    """The image of the backend that each of these generations runs."""
    return {
        number: {
            each["Config"]["Image"] for each in world.standin.project(f"slipway-dev-g{number}")
        }
        for number in numbers
    }


def release(world: World, source: str = "services/backend/app.py") -> None:
    """Change a source and release it."""
    world.change(source)
    ended = world.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    world.standin.forget()


def back(world: World, *words: str) -> str:
    """Go back, and return what was said."""
    ended = world.invoke("rollback", "--env", "dev", *words)
    assert (ended.exit_code, ended.errors) == (0, "")
    return ended.output


def images(world: World) -> dict[str, str]:
    """Service -> the image that runs."""
    return {
        each["Config"]["Labels"]["com.docker.compose.service"]: each["Config"]["Image"]
        for each in world.standin.containers.values()
    }


def schema(world: World, *applied: tuple[str, str]) -> None:
    """Let the database have these schema changes, each by the release that applied it."""
    world.standin.database = {"current": applied[-1][0], "applied": dict(applied)}


def add_change(world: World, name: str, phase: str) -> None:
    """Add a schema change to what is released next."""
    path = world.layout.root / migrations.FOLDER / f"v{name}_more.py"
    path.write_text(f'revision = "{name}"\nphase = "{phase}"\n')


def announced(world: World, tag: str = "running-in-dev") -> str | None:
    """The digest of the manifest that others find under a tag."""
    return registry.digest(world.standin.registry, REPOSITORY, tag)


class TestBack:
    def test_the_release_before_serves_again_from_its_images(self, released: World) -> None:
        first = images(released)
        release(released)
        assert images(released) != first
        said = back(released)
        assert "dev serves release" in said
        assert images(released) == first
        assert released.standin.generation == 3
        assert released.generations() == {"slipway-dev-g3"}
        line = released.ledger()[-1]
        assert (line["kind"], line["to"], line["result"]) == ("rollback", 1, "done")
        assert line["images"]["backend"] == first["backend"]

    def test_no_migration_is_run(self, released: World) -> None:
        release(released)
        back(released)
        assert "migrate" not in released.standin.changes

    def test_the_platform_goes_back_too(self, released: World) -> None:
        first = images(released)
        release(released, "infra/nginx/Dockerfile")
        assert images(released)["edge-b"] != first["edge"]
        back(released)
        assert images(released) == first
        assert released.standin.serving_edge == "edge"
        assert released.ledger()[-1]["images"]["door"] == first["door"]

    def test_the_configuration_goes_back_too(self, released: World) -> None:
        released.configure(log_level="debug")
        assert released.release().exit_code == 0
        back(released)
        backend = released.standin.project("slipway-dev-g3")[0]
        assert "LOG_LEVEL=info" in backend["Config"]["Env"]

    def test_a_second_one_goes_further_back_and_never_in_a_circle(self, released: World) -> None:
        seen = [images(released)]
        for _ in range(2):
            release(released)
            seen.append(images(released))
        back(released)
        assert images(released) == seen[1]
        back(released)
        assert images(released) == seen[0]
        ended = released.invoke("rollback", "--env", "dev")
        assert ended.exit_code == 2
        assert "dev has no release before" in ended.errors

    def test_what_is_released_after_it_is_gone_back_from_as_usual(self, released: World) -> None:
        first = images(released)
        release(released)
        back(released)
        release(released)
        back(released)
        assert images(released) == first

    def test_any_retained_version_can_be_named(self, released: World) -> None:
        path = released.standin.volume("slipway-dev-state") / "ledger.jsonl"
        version = released.ledger()[0]["version"]
        assert path.is_file()
        release(released)
        said = back(released, "--to", version)
        assert f"back to release {version}" in said
        ended = released.invoke("rollback", "--env", "dev", "--to", "nothing")
        assert ended.exit_code == 2
        assert "dev never finished a release nothing (there are: " in ended.errors
        assert version in ended.errors

    def test_others_find_what_it_went_back_to(self, released: World) -> None:
        """Who takes releases from here would otherwise take the one that was gone back from."""
        first = released.ledger()[0]["manifest"]
        release(released)
        assert announced(released) == released.ledger()[1]["manifest"] != first
        back(released)
        assert announced(released) == released.ledger()[2]["manifest"] == first
        assert announced(released, released.ledger()[0]["version"]) == first

    def test_one_whose_manifest_is_gone_is_put_back_all_the_same(self, released: World) -> None:
        first = released.ledger()[0]["manifest"]
        release(released)
        del released.standin.store.manifests[first]
        ended = released.invoke("rollback", "--env", "dev")
        assert ended.exit_code == 0
        assert "others are not told that dev runs an earlier release again" in ended.errors
        assert announced(released) == released.ledger()[1]["manifest"]

    def test_it_is_proved_where_it_serves_already(self, released: World) -> None:
        """What it goes back from may be broken, so the switch comes first."""
        release(released)
        released.product.candidates.clear()
        back(released)
        assert set(released.product.candidates) == {None}

    def test_its_plan_touches_nothing(self, released: World) -> None:
        release(released)
        assert "switch    edge to generation 3" in back(released, "--plan")
        assert released.standin.changes == []


class TestSchema:
    def test_no_expand_is_in_the_way_however_far_it_goes_back(self, released: World) -> None:
        """The images that are gone back to need not know it: another one on the engine does."""
        schema(released, ("0001", "first"))
        release(released)
        add_change(released, "0002", "expand")
        release(released)
        schema(released, ("0001", "first"), ("0002", "after-g2"))
        back(released)
        back(released)
        assert released.ledger()[-1]["to"] == 1

    def test_an_expand_of_a_release_that_failed_is_not_in_the_way(self, released: World) -> None:
        schema(released, ("0001", "first"))
        release(released)
        add_change(released, "0002", "expand")
        released.change("services/backend/app.py")
        released.standin.faults.service["worker"] = "exited"
        assert released.release().exit_code == 1
        released.standin.forget()
        schema(released, ("0001", "first"), ("0002", "after-g2"))
        back(released)
        assert released.ledger()[-1]["to"] == 1

    def test_a_contract_is_refused_also_when_what_serves_does_not_know_it(
        self, released: World
    ) -> None:
        schema(released, ("0001", "first"))
        release(released)
        add_change(released, "0002", "contract")
        release(released)
        back(released)
        schema(released, ("0001", "first"), ("0002", "after-g2"))
        released.standin.forget()
        ended = released.invoke("rollback", "--env", "dev")
        assert ended.exit_code == 2
        assert "schema change 0002 has removed what its code needs" in ended.errors
        assert released.standin.changes == []

    def test_a_change_that_no_image_on_the_engine_knows_is_refused(self, released: World) -> None:
        release(released)
        schema(released, ("0001", "first"), ("0009", "by hand"))
        ended = released.invoke("rollback", "--env", "dev")
        assert ended.exit_code == 2
        assert "whether its code works with schema change 0009 is not known" in ended.errors


class TestRefused:
    def test_where_nothing_was_ever_released(self, world: World) -> None:
        world.invoke("build")
        ended = world.invoke("rollback", "--env", "dev")
        assert ended.exit_code == 2
        assert "dev was never released" in ended.errors

    def test_when_an_image_was_removed(self, released: World) -> None:
        gone = images(released)["backend"].partition("@")[2]
        release(released)
        released.standin.absent.add(gone)
        del released.standin.store.manifests[gone]
        ended = released.invoke("rollback", "--env", "dev")
        assert ended.exit_code == 2
        assert "neither engine nor registry has backend" in ended.errors
        assert released.standin.changes == []


class TestSoak:
    def test_an_expand_that_the_soaking_release_brought_is_not_in_the_way(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schema(released, ("0001", "first"))
        released.soak(seconds=600)
        add_change(released, "0002", "expand")
        released.change("services/backend/app.py")
        check = state.State.check
        said = []

        def taken(held: state.State) -> None:
            if held.yields and not said:
                schema(released, ("0001", "first"), ("0002", "after-g1"))
                said.append("")
                said.append(back(released))
            check(held)

        monkeypatch.setattr(state.State, "check", taken)
        assert released.release().exit_code == 1
        assert "its soak ends here" in said[1]
        assert released.standin.generation == 1

    def test_a_rollback_ends_it_and_the_soaking_release_touches_nothing_more(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old generation is warm: it only has to be switched to."""
        first = {each["Id"] for each in released.standin.project("slipway-dev-g1")}
        released.soak(seconds=600)
        released.change("services/backend/app.py")
        check = state.State.check
        said = []

        def taken(held: state.State) -> None:
            if held.yields and not said:
                said.append("")
                said.append(back(released))
                released.standin.changes.clear()
            check(held)

        monkeypatch.setattr(state.State, "check", taken)
        ended = released.release()
        assert ended.exit_code == 1
        assert "another run took over" in ended.errors
        assert "soak of release" in said[1]
        assert "its soak ends here" in said[1]
        assert released.standin.changes == []
        assert released.standin.generation == 1
        assert {each["Id"] for each in released.standin.project("slipway-dev-g1")} == first
        assert released.generations() == {"slipway-dev-g1"}
        assert [line["result"] for line in released.ledger()] == ["done", "done"]
