"""A host that has nothing but a copy of the repository and its key has the environment again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import standin_backup
from standin_world import World, ready_host

from slipway.facts import host

SECRET = "a key that opens the repository, and nothing else"
SECOND = {
    "kind": "sftp",
    "host": "far",
    "port": 22,
    "user": "keeper",
    "path": "/points",
    "host_fingerprint": "ab" * 32,
    "keep": {"full": 2, "differential": 6},
}


def lose(world: World, **settings: object) -> None:
    """Release with backups, copy the repository out, and take the environment away."""
    world.configure(backup=standin_backup.SCHEDULED, **settings)
    ended = world.release()
    assert ended.exit_code == 0, ended
    standin, points = world.standin, list[dict[str, Any]]()
    for age in (7200, 3600):
        standin_backup.made(points, (), age)
    held = world.folder / "state of the points"
    shutil.copytree(standin.volume("slipway-dev-state"), held)
    # As it was while the point was taken, by a release that is over.
    (held / "journal.jsonl").write_text('{"kind": "release", "step": "point", "done": false}\n')
    key = {"backup_key": SECRET}
    standin.copies = {
        str(world.folder / "copy"): standin_backup.Copy(points, held, key),
        standin_backup.SECOND: standin_backup.Copy(points, held, {**key, "second_key": "PEM"}),
    }
    (world.folder / "key").write_text(f"{SECRET}\n")
    (world.folder / "access").mkdir()
    (world.folder / "access" / "second_key").write_text("PEM")
    gone = world.invoke("down", "--env", "dev", "--volumes", "--yes-delete", "dev")
    assert gone.exit_code == 0, gone
    standin.points.clear()
    standin.generation = standin.serving_edge = None
    standin.primaries.clear()
    standin.forget()


@pytest.fixture(scope="module")
def once_lost(first_release: World) -> World:
    """A world that lost its environment, made once and put back by `lost`."""
    with pytest.MonkeyPatch.context() as patch:
        first_release.restore()
        first_release.connect(patch)
        lose(first_release)
        first_release.remember("lost")
    return first_release


@pytest.fixture
def lost(once_lost: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """An engine that has nothing of dev, and beside it a copy of its repository."""
    once_lost.recall("lost")
    once_lost.connect(monkeypatch)
    copied = once_lost.standin.copies[str(once_lost.folder / "copy")]
    copied.damaged, copied.refused = [], ""
    return once_lost


def words(world: World, *more: str) -> tuple[str, ...]:
    """What is typed."""
    place = ("--from", str(world.folder / "copy"), "--key", str(world.folder / "key"))
    return ("restore", "--env", "dev", *place, *more)


def changes(world: World) -> list[str]:
    """What happened, without networks, volumes and what only reads."""
    return [
        each.removeprefix("up slipway-dev-")
        for each in world.standin.changes
        if not each.startswith(("toolbox", "POST", "DELETE"))
    ]


def test_a_plan_is_printed_and_nothing_is_touched(lost: World) -> None:
    ended = lost.invoke(*words(lost, "--plan"))
    assert ended.exit_code == 0, ended
    said = [" ".join(line.split()[:3]) for line in ended.output.splitlines()]
    assert said == [
        "rebuild dev as",
        "1. adopt repository",
        "2. state ledger,",
        "3. secret for",
        "4. restore database",
        "5. start release",
        "lost: what was",
    ]
    assert "of p2 of" in ended.output
    assert lost.standin.volumes == {}
    assert lost.standin.networks == {}


def test_ledger_secrets_data_and_release_come_back(lost: World) -> None:
    ended = lost.invoke(*words(lost))
    assert ended.exit_code == 0, ended
    done = changes(lost)
    assert done[:3] == ["adopt ", "state p2", "restore --to latest"]
    assert done[3:] == [
        *("platform postgres", "platform backup", "platform edge", "platform door"),
        *("hand over to edge", "migrate", "g2 backend worker", "switch 2"),
    ]
    assert lost.standin.restored == {"slipway-dev-postgres": "latest"}
    held = lost.standin.copies[str(lost.folder / "copy")].held
    assert lost.secret("admin_password") == (held / "secrets/admin_password").read_text()
    before = [json.loads(line) for line in (held / "ledger.jsonl").read_text().splitlines()]
    assert lost.ledger()[: len(before)] == before
    line = lost.ledger()[-1]
    assert (line["kind"], line["result"]) == ("restore", "done")
    assert line["version"] == before[-1]["version"]
    assert line["restore"]["repository"] == str(lost.folder / "copy")
    assert f"dev is rebuilt as of the newest there is from {lost.folder / 'copy'}" in ended.output
    assert "after the end of the archive is not there" in ended.output
    assert "Nothing to do" in lost.release().output


def test_a_point_brings_its_own_state_and_a_time_that_of_the_point_after_it(lost: World) -> None:
    points = lost.standin.copies[str(lost.folder / "copy")].points
    for to, state in (("p1", "p1"), (points[0]["time"], "p1"), (points[1]["time"], "p2")):
        ended = lost.invoke(*words(lost, "--to", to, "--plan"))
        assert f"of {state} of" in ended.output, ended
        assert "lost: what was written after 20" in ended.output
    assert lost.invoke(*words(lost, "--to", "p1")).exit_code == 0
    assert lost.standin.restored == {"slipway-dev-postgres": "p1"}


def test_what_cannot_be_read_is_said_before_and_after(lost: World) -> None:
    copied = lost.standin.copies[str(lost.folder / "copy")]
    copied.damaged = ["snapshot 1234abcd: point.json is not whole"]
    ended = lost.invoke(*words(lost))
    assert ended.exit_code == 0, ended
    assert "cannot be read: snapshot 1234abcd" in ended.output
    assert "could not be restored: snapshot 1234abcd" in ended.errors


class TestRefused:
    """Before anything is touched, with exit code 2."""

    def refused(self, world: World, *typed: str) -> str:
        ended = world.invoke(*typed)
        assert ended.exit_code == 2, ended
        assert changes(world) == []
        return ended.errors

    def test_an_environment_that_lives_here(self, lost: World) -> None:
        assert lost.invoke(*words(lost)).exit_code == 0
        lost.standin.changes.clear()
        said = self.refused(lost, *words(lost))
        assert "dev lives on this engine" in said
        assert "next: invoke restore --env dev --plan" in said

    @pytest.mark.parametrize("volume", ["postgres", "files", "backup", "postgres-2"])
    def test_data_that_is_left_of_it(self, lost: World, volume: str) -> None:
        lost.standin.volumes[f"slipway-dev-{volume}"] = {
            "Name": f"slipway-dev-{volume}",
            "Labels": {},
        }
        assert f"slipway-dev-{volume}" in self.refused(lost, *words(lost))

    def test_a_ledger_without_data(self, lost: World) -> None:
        copied = lost.standin.copies[str(lost.folder / "copy")]
        lost.standin._make("volumes", "slipway-dev-state", {})
        copied.restore(lost.standin.volume("slipway-dev-state"))
        assert "slipway-dev-state" in self.refused(lost, *words(lost))

    def test_another_key(self, lost: World) -> None:
        (lost.folder / "other").write_text("x" * 40)
        typed = ("restore", "--env", "dev", "--from", str(lost.folder / "copy"))
        said = self.refused(lost, *typed, "--key", str(lost.folder / "other"))
        assert "the key does not open repository 1. Nothing was touched" in said
        assert "next: give the key" in said
        assert lost.standin.volumes == {}

    def test_no_key(self, lost: World) -> None:
        typed = ("restore", "--env", "dev", "--from", str(lost.folder / "copy"))
        assert "give --key" in self.refused(lost, *typed)
        assert "cannot be read" in self.refused(lost, *typed, "--key", str(lost.folder / "none"))
        assert "with --from" in self.refused(lost, "restore", "--env", "dev", "--key", "x")

    def test_no_folder_and_no_repository(self, lost: World) -> None:
        typed = ("restore", "--env", "dev", "--key", str(lost.folder / "key"), "--from")
        said = self.refused(lost, *typed, str(lost.folder / "nowhere"))
        assert f"{lost.folder / 'nowhere'} is no folder of the host" in said
        copied = lost.standin.copies[str(lost.folder / "copy")]
        copied.refused = "this is no repository"
        assert "this is no repository" in self.refused(lost, *words(lost))

    def test_a_repository_without_a_point(self, lost: World) -> None:
        copied = lost.standin.copies[str(lost.folder / "copy")]
        points, copied.points = copied.points, []
        copied.damaged = ["snapshot 1234abcd: cut short"]
        said = self.refused(lost, *words(lost))
        copied.points = points
        assert "no point of dev that can be read: snapshot 1234abcd" in said

    def test_the_repository_of_another_environment(self, lost: World) -> None:
        lost.environment("other", backup=standin_backup.SCHEDULED)
        said = self.refused(lost, "restore", "--env", "other", *words(lost)[3:])
        assert "is the repository of dev, not of other. Nothing was touched" in said

    def test_a_second_repository_that_is_not_configured(self, lost: World) -> None:
        typed = ("restore", "--env", "dev", "--from", "second", "--key", str(lost.folder / "key"))
        assert "dev has no second repository" in self.refused(lost, *typed)

    def test_a_host_that_is_not_prepared(
        self, lost: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lacking = replace(ready_host(), base=False)
        monkeypatch.setattr(host, "read", lambda: lacking)
        assert "This host is not prepared" in self.refused(lost, *words(lost))

    def test_no_image_to_read_with(self, lost: World) -> None:
        store = lost.standin.store
        store.tags = {name: each for name, each in store.tags.items() if "/backup:" not in name}
        said = self.refused(lost, *words(lost))
        assert "an image backup to read the repository with" in said
        assert "next: invoke build --env dev --service backup" in said


def test_images_that_nobody_has_leave_the_data_whole_for_another_release(lost: World) -> None:
    store = lost.standin.store
    (tag,) = (name for name in store.tags if "/backend:" in name)
    gone = store.tags.pop(tag)
    store.manifests.pop(gone)
    lost.standin.absent.add(gone)
    shown = lost.invoke(*words(lost, "--plan"))
    assert "neither engine nor registry has backend: all but the release" in shown.output
    ended = lost.invoke(*words(lost))
    assert ended.exit_code == 1, ended
    assert "neither engine nor registry has backend of release" in ended.errors
    assert "next: invoke release --env dev" in ended.errors
    assert changes(lost)[-1] == "restore --to latest"
    assert lost.ledger()[-1]["result"] == "restored"
    released = lost.release()
    assert released.exit_code == 0, released
    assert lost.standin.restored == {"slipway-dev-postgres": "latest"}


def test_a_point_from_before_the_first_release_had_ended_leaves_its_data_to_one(
    lost: World, tmp_path: Path
) -> None:
    standin = lost.standin
    place = str(lost.folder / "copy")
    copied = standin.copies[place]
    held = shutil.copytree(copied.held, tmp_path / "held")
    (held / "ledger.jsonl").write_text("")
    (held / "head.json").unlink()
    early = [each | {"release": {}} for each in copied.points]
    standin.copies[place] = replace(copied, held=held, points=early)
    ended = lost.invoke(*words(lost))
    standin.copies[place] = copied
    assert ended.exit_code == 1, ended
    assert "p2 knows no release that ended" in ended.output
    assert "its ledger knows no release that ended. Another release will" in ended.errors
    assert standin.restored == {"slipway-dev-postgres": "latest"}
    released = lost.release()
    assert released.exit_code == 0, released


def test_until_the_ledger_is_there_nothing_else_is_begun(lost: World) -> None:
    lost.standin.faults.backup = {"state": standin_backup.failed(1, "a block is damaged", "")}
    failed = lost.invoke(*words(lost))
    assert failed.exit_code == 1
    assert "a block is damaged" in failed.errors
    again = f"next: invoke {' '.join(words(lost)[:3])} --to latest {' '.join(words(lost)[3:])}"
    assert again in failed.errors
    for typed in (("release",), ("restore",), ("rollback",)):
        refused = lost.invoke(*typed, "--env", "dev")
        assert refused.exit_code == 2, refused
    assert again in lost.invoke("restore", "--env", "dev").errors
    elsewhere = ("--from", "/elsewhere", "--key", str(lost.folder / "key"))
    other = lost.invoke("restore", "--env", "dev", *elsewhere)
    assert other.exit_code == 2
    assert "was begun and did not end" in other.errors
    lost.standin.faults.backup = {}
    lost.standin.changes.clear()
    ended = lost.invoke(*words(lost))
    assert ended.exit_code == 0, ended
    assert changes(lost)[:2] == ["state p2", "restore --to latest"]


def test_the_second_repository_is_read_where_it_is(lost: World) -> None:
    lost.configure(backup=standin_backup.SCHEDULED | {"second": SECOND})
    place = ("--from", "second", "--key", str(lost.folder / "key"))
    typed = ("restore", "--env", "dev", *place, "--access", str(lost.folder / "access"))
    ended = lost.invoke(*typed)
    assert ended.exit_code == 0, ended
    assert changes(lost)[:2] == ["state p2", "restore --to latest"]
    assert lost.secret("second_key") == "PEM"
    handed = lost.standin.volume("slipway-dev-secrets-backup") / "second_key"
    assert handed.read_text() == "PEM"


def test_a_data_tier_begins_anew_from_its_first_member(world: World) -> None:
    lose(world, database={"replicas": 1, "synchronous": True})
    ended = world.invoke(*words(world))
    assert ended.exit_code == 0, ended
    done = changes(world)
    assert done[done.index("restore --to latest") + 1 :][:4] == [
        *("platform etcd", "postgres adopt", "platform postgres", "platform postgres-2"),
    ]
    assert "Nothing to do" in world.release().output


def test_the_same_again_finishes_what_was_killed_at_any_moment(
    world: World, tmp_path: Path
) -> None:
    lose(world)
    shown = "import json; from slipway import holders; print(json.dumps(holders.process()))"
    done = subprocess.run((sys.executable, "-c", shown), capture_output=True, check=True, text=True)
    moments: list[str] = []

    def moment(when: str, step: str) -> None:
        if when == "before" and moments:
            return
        moments.append(f"{len(moments):02} {when} {step.split(maxsplit=1)[0]}")
        world.remember(moments[-1])

    world.standin.on_moment = moment
    assert world.invoke(*words(world)).exit_code == 0
    steps = {each.split(maxsplit=2)[2] for each in moments}
    assert steps >= {"adopt", "state", "secret", "restore", "platform", "migrate", "start"}
    for name in moments:
        world.recall(name)
        world.standin.change_lease(process=json.loads(done.stdout), expires=1e11)
        finished = world.invoke(*words(world))
        assert finished.exit_code == 0, (name, finished)
        assert world.standin.restored == {"slipway-dev-postgres": "latest"}, name
        last = world.ledger()[-1]
        assert (last["kind"], last["result"]) == ("restore", "done"), name
        assert last["restore"]["repository"] == str(world.folder / "copy"), name
        assert world.standin.toolboxes == {}, name
        assert "Nothing to do" in world.release().output, name
