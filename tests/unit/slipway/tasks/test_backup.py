"""Recovery points of an environment, as a person takes, lists, proves and keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import standin_backup
from standin_world import Ended, World


@pytest.fixture
def kept(released: World) -> World:
    """A released environment whose backups were just turned on."""
    released.configure(backup=standin_backup.SCHEDULED)
    ended = released.release()
    assert ended.exit_code == 0, ended
    released.standin.forget()
    return released


def migration(world: World) -> None:
    """The next release brings a change of the schema."""
    folder = "services/backend/src/slipway_backend/migrations/versions"
    path = world.layout.root / folder / "v0002_second.py"
    path.write_text('revision = "0002"\ndown_revision = "0001"\nphase = "expand"\n')
    world.change("services/backend/app.py")
    world.standin.database = {"current": "0001", "applied": {"0001": "first"}}


def point(world: World, age: float) -> None:
    """A point that is so many seconds old."""
    points = world.standin.points.setdefault("dev", [])
    standin_backup.made(points, (), age)


def test_backups_are_turned_on_and_then_there_is_nothing_to_do(released: World) -> None:
    released.configure(backup=standin_backup.SCHEDULED)
    ended = released.release()
    assert ended.exit_code == 0, ended
    ups = [each for each in released.standin.changes if each.startswith("up ")]
    assert ups == ["up slipway-dev-platform postgres again", "up slipway-dev-platform backup"]
    assert "Nothing to do" in released.release().output
    folder = released.standin.volume("slipway-dev-secrets-backup")
    assert {each.name for each in folder.iterdir()} == {
        *("backup_password", "backup_key", "backup_token"),
        *("data_ca.crt", "backup.crt", "backup.key"),
    }
    server = released.standin.volume("slipway-dev-secrets-postgres")
    assert {"backup_password", "data.crt"} <= {each.name for each in server.iterdir()}
    client = released.standin.volume("slipway-dev-secrets-backend")
    assert "data_ca.crt" not in {each.name for each in client.iterdir()}


def test_backups_are_turned_off_and_what_they_kept_stays(kept: World) -> None:
    kept.configure(backup={"policy": "none"})
    ended = kept.release()
    assert ended.exit_code == 0, ended
    assert "dismiss   backup" in ended.output
    assert "slipway-dev-backup" in kept.standin.volumes
    assert "Nothing to do" in kept.release().output


def test_an_environment_begins_with_backups_and_replicas(world: World) -> None:
    world.configure(backup=standin_backup.SCHEDULED, database={"replicas": 1, "synchronous": True})
    ended = world.release()
    assert ended.exit_code == 0, ended
    assert "Nothing to do" in world.release().output
    (service,) = (
        each
        for each in world.standin.project("slipway-dev-platform")
        if each["Name"].endswith("-backup-1")
    )
    assert "DATABASE_HOSTS=postgres,postgres-2" in service["Config"]["Env"]


def test_a_release_that_fails_takes_the_service_back_that_it_brought(released: World) -> None:
    released.configure(backup=standin_backup.SCHEDULED)
    released.standin.faults.service = {"backup": "unhealthy"}
    ended = released.release()
    assert ended.exit_code == 1
    assert "as before: generation 1" in ended.output
    services = {each["Name"] for each in released.standin.project("slipway-dev-platform")}
    assert "/slipway-dev-platform-backup-1" not in services


class TestBeforeAMigration:
    """Before the schema changes there is a fresh point, and the ledger names it."""

    def test_one_is_taken_when_the_newest_is_old(self, kept: World) -> None:
        point(kept, 7200)
        migration(kept)
        ended = kept.release()
        assert ended.exit_code == 0, ended
        assert "point     recovery point" in ended.output
        done = [each.split()[0] for each in kept.standin.changes]
        assert done.index("backup") < done.index("migrate")
        assert kept.ledger()[-1]["point"] == "p2"
        version = kept.ledger()[-1]["version"]
        assert kept.standin.points["dev"][-1]["name"].startswith(f"before-{version}-")

    def test_a_fresh_one_is_rested_on(self, kept: World) -> None:
        point(kept, 60)
        migration(kept)
        ended = kept.release()
        assert ended.exit_code == 0, ended
        assert "rests on:\n    recovery point p1" in ended.output
        assert "backup run" not in " ".join(kept.standin.changes)
        assert kept.ledger()[-1]["point"] == "p1"

    def test_none_is_taken_when_the_schema_stays(self, kept: World) -> None:
        kept.standin.database = {"current": "0001", "applied": {"0001": "first"}}
        kept.change("services/backend/app.py")
        assert kept.release().exit_code == 0
        assert "point" not in kept.ledger()[-1]
        assert "backup run" not in " ".join(kept.standin.changes)

    def test_a_service_that_does_not_answer_is_a_refusal(self, kept: World) -> None:
        migration(kept)
        kept.standin.faults.backup = {"list": ("", "no such process\n", 126)}
        lines = len(kept.ledger())
        ended = kept.release()
        assert ended.exit_code == 2
        assert "--without-point REASON" in ended.errors
        assert "next: invoke logs --env dev --service backup" in ended.errors
        assert len(kept.ledger()) == lines
        assert not [each for each in kept.standin.changes if each.startswith(("up", "build"))]

    def test_a_reason_goes_on_without_one_and_into_the_ledger(self, kept: World) -> None:
        migration(kept)
        kept.standin.faults.backup = {"list": ("", "no such process\n", 126)}
        ended = kept.release("--without-point", "its disk is being replaced")
        assert ended.exit_code == 0, ended
        assert kept.ledger()[-1]["without_point"] == "its disk is being replaced"

    def test_a_point_that_fails_ends_the_release_before_the_schema_changes(
        self, kept: World
    ) -> None:
        migration(kept)
        said = standin_backup.failed(1, "the repository is full", "invoke backup.list --env dev")
        kept.standin.faults.backup = {"run": said}
        ended = kept.release()
        assert ended.exit_code == 1
        assert "No recovery point could be taken before the schema changes" in ended.errors
        assert "the repository is full" in ended.errors
        assert "next: invoke backup.list --env dev" in ended.errors
        assert "migrate" not in kept.standin.changes
        assert kept.ledger()[-1]["result"] == "failed"


class TestVerbs:
    """What a person types about points, and what programs get."""

    def test_a_point_is_taken_with_its_progress(self, kept: World) -> None:
        ended = kept.invoke("backup", "--env", "dev")
        assert ended.exit_code == 0, ended
        assert "copying the database: 50 %, about 4 s left" in ended.output
        assert "p1 is a recovery point of dev, 5.0 MiB." in ended.output
        assert "invoke backup.key --env dev --to FILE" in ended.errors
        assert kept.standin.changes == ["backup run"]

    def test_a_full_one_is_asked_for_by_its_kind(self, kept: World) -> None:
        ended = kept.invoke("backup", "--env", "dev", "--full", "--json")
        assert json.loads(ended.output)["kind"] == "full"
        assert kept.standin.changes == ["backup run --kind full"]

    def test_points_are_listed_with_age_place_and_proof(self, kept: World) -> None:
        point(kept, 3 * 86400)
        assert kept.invoke("backup.drill", "--env", "dev").exit_code == 0
        point(kept, 120)
        ended = kept.invoke("backup.list", "--env", "dev")
        assert ended.exit_code == 0, ended
        head, first, second, *rest = ended.output.splitlines()
        assert head.split()[:2] == ["point", "when"]
        assert "full" in first
        assert first.endswith("drill, 3 days ago")
        assert "2 min" in second
        assert second.endswith("never")
        assert "any moment until" in rest[0]
        assert "the repository holds 7.0 MiB, 9.0 GiB are free" in rest[1]

    def test_an_environment_without_points_says_how_to_take_one(self, kept: World) -> None:
        ended = kept.invoke("backup.list", "--env", "dev")
        assert "dev has no recovery point yet: invoke backup --env dev" in ended.output

    def test_programs_read_the_points_as_one_object(self, kept: World) -> None:
        point(kept, 60)
        found = json.loads(kept.invoke("backup.list", "--env", "dev", "--json").output)
        assert [each["id"] for each in found["points"]] == ["p1"]
        assert found["behind"] == 3

    def test_a_drill_tells_what_it_measured(self, kept: World) -> None:
        point(kept, 60)
        ended = kept.invoke("backup.drill", "--env", "dev", "--point", "latest")
        assert "ok: p1 was restored" in ended.output
        assert "restored in  12 s" in ended.output
        assert kept.standin.changes == ["backup drill --point p1"]

    def test_what_is_damaged_is_named_in_the_words_of_the_service(self, kept: World) -> None:
        said = standin_backup.failed(
            1, "a block of p1 is damaged", "invoke backup --env dev --full"
        )
        kept.standin.faults.backup = {"verify": said}
        ended = kept.invoke("backup.verify", "--env", "dev", "--read-data")
        assert ended.exit_code == 1
        assert "a block of p1 is damaged" in ended.errors
        assert "next: invoke backup --env dev --full" in ended.errors

    def test_two_at_once_are_a_refusal(self, kept: World) -> None:
        said = standin_backup.failed(2, "the scheduler takes one since 02:00", "wait for its end")
        kept.standin.faults.backup = {"run": said}
        assert kept.invoke("backup", "--env", "dev").exit_code == 2

    def test_a_point_that_is_not_there_is_named_with_those_that_are(self, kept: World) -> None:
        point(kept, 60)
        ended = kept.invoke("backup.verify", "--env", "dev", "--point", "p9")
        assert ended.exit_code == 2
        assert "dev has no recovery point p9 (the newest are: p1)" in ended.errors

    def test_an_export_is_one_new_file_for_its_owner_alone(
        self, kept: World, tmp_path: Path
    ) -> None:
        point(kept, 60)
        path = tmp_path / "shelf"
        ended = kept.invoke("backup.export", "--env", "dev", "--to", str(path))
        assert ended.exit_code == 0, ended
        assert path.read_text() == "encrypted"
        assert path.stat().st_mode & 0o777 == 0o600
        again = kept.invoke("backup.export", "--env", "dev", "--to", str(path))
        assert again.exit_code == 2
        assert "nothing is overwritten" in again.errors

    def test_an_export_that_fails_leaves_nothing(self, kept: World, tmp_path: Path) -> None:
        point(kept, 60)
        said = standin_backup.failed(1, "the key does not open it", "")
        kept.standin.faults.backup = {"export": said}
        ended = kept.invoke("backup.export", "--env", "dev", "--to", str(tmp_path / "shelf"))
        assert ended.exit_code == 1
        assert "the key does not open it" in ended.errors
        assert list(tmp_path.glob("shelf*")) == []


class TestKey:
    """Without its key a backup is noise, so the key leaves the host, and drills try the copy."""

    def test_it_is_written_for_its_owner_alone_and_that_is_noted(
        self, kept: World, tmp_path: Path
    ) -> None:
        path = tmp_path / "key"
        ended = kept.invoke("backup.key", "--env", "dev", "--to", str(path))
        assert ended.exit_code == 0, ended
        assert path.read_text().strip() == kept.secret("backup_key")
        assert path.stat().st_mode & 0o777 == 0o600
        assert kept.secret("backup_key") not in ended.output
        assert kept.ledger()[-1]["kind"] == "backup.key"

    def test_a_copy_that_was_put_back_ends_the_warning(self, kept: World, tmp_path: Path) -> None:
        path = tmp_path / "key"
        assert kept.invoke("backup.key", "--env", "dev", "--to", str(path)).exit_code == 0
        put = put_secret(kept, "backup_key_escrow", path)
        assert put.exit_code == 0, put
        assert kept.invoke("backup", "--env", "dev").errors == ""
        assert kept.release().exit_code == 0
        folder = kept.standin.volume("slipway-dev-secrets-backup")
        assert (folder / "backup_key_escrow").read_text() == kept.secret("backup_key")

    def test_another_one_is_refused_while_there_are_backups(
        self, kept: World, tmp_path: Path
    ) -> None:
        path = tmp_path / "other"
        path.write_text("x" * 40)
        put = put_secret(kept, "backup_key", path)
        assert put.exit_code == 2
        assert "could be read no more" in put.errors


def put_secret(world: World, name: str, path: Path) -> Ended:
    return world.invoke("secrets.put", "--env", "dev", "--name", name, "--file", str(path))


@pytest.mark.parametrize("verb", ["backup", "backup.list", "backup.verify", "backup.drill"])
def test_an_environment_without_backups_says_so(released: World, verb: str) -> None:
    ended = released.invoke(verb, "--env", "dev")
    assert ended.exit_code == 2
    assert "dev is not backed up" in ended.errors


def test_a_service_that_does_not_run_is_a_refusal(kept: World) -> None:
    for each in kept.standin.project("slipway-dev-platform"):
        if each["Name"].endswith("-backup-1"):
            each["State"]["Status"] = "exited"
    ended = kept.invoke("backup.list", "--env", "dev")
    assert ended.exit_code == 2
    assert "next: invoke release --env dev" in ended.errors
