"""A living environment's data is taken back to a point, and what was there before is kept."""

from __future__ import annotations

import re

import pytest
import standin_backup
from standin_world import World

from slipway import restore

RESTORE = ("restore", "--env", "dev", "--yes-overwrite", "dev")
#: What the engine says of a container that restores.
ONE_OFF = {"project": "slipway-dev-platform", "service": "backup", "oneoff": "True"}


@pytest.fixture
def kept(once_kept: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A released environment with backups and two points."""
    once_kept.recall("kept")
    once_kept.connect(monkeypatch)
    return once_kept


def changes(world: World) -> list[str]:
    """What happened to data and containers, in order."""
    return [
        re.sub(
            r"-\d{8}T\d{6}$", "", each.removeprefix("up slipway-dev-").replace("slipway-dev-", "")
        )
        for each in world.standin.changes
        if not each.startswith(("toolbox", "POST"))
    ]


def test_a_plan_is_printed_and_nothing_is_touched(kept: World) -> None:
    ended = kept.invoke("restore", "--env", "dev", "--to", "p1", "--plan")
    assert ended.exit_code == 0, ended
    said = [" ".join(line.split()[:3]) for line in ended.output.splitlines()]
    assert said == [
        "restore dev to",
        "1. close edge",
        "2. point recovery",
        "3. stop generation",
        "4. stop postgres",
        "5. restore database",
        "6. start release",
        "7. open edge",
        "lost: everything of",
    ]
    assert "lost: everything of the last 2 hours" in ended.output
    assert changes(kept) == []


def test_everything_is_stopped_overwritten_and_started_again(kept: World) -> None:
    ended = kept.invoke(*RESTORE, "--to", "p1")
    assert ended.exit_code == 0, ended
    assert changes(kept) == [
        "maintenance on",
        "backup run --name before-restore",
        "down g1",
        "stop platform-postgres-1",
        "remove platform-postgres-1",
        "restore --point p1",
        "platform postgres",
        "migrate",
        "g2 backend worker",
        "switch 2",
        "maintenance off",
    ]
    assert kept.standin.restored == {"slipway-dev-postgres": "p1"}
    assert "What was there before: invoke restore --env dev --to p3" in ended.output
    line = kept.ledger()[-1]
    assert (line["kind"], line["result"]) == ("restore", "done")
    assert line["restore"] == {
        "to": "p1",
        "safety": "p3",
        "closed": True,
        "command": "invoke restore --env dev --to p1",
    }
    assert kept.standin.maintenance == {"on": False}
    assert "Nothing to do" in kept.release().output


def test_a_name_that_is_not_typed_back_changes_nothing(kept: World) -> None:
    asked = kept.invoke("restore", "--env", "dev")
    assert asked.exit_code == 2
    assert "give --yes-overwrite dev" in asked.errors
    other = kept.invoke("restore", "--env", "dev", "--yes-overwrite", "prod")
    assert other.exit_code == 2
    assert "'prod' is not 'dev'" in other.errors
    assert changes(kept) == []


def test_a_page_that_a_person_put_up_stays_up(kept: World) -> None:
    assert kept.invoke("maintenance", "--env", "dev", "--state", "on").exit_code == 0
    ended = kept.invoke(*RESTORE)
    assert ended.exit_code == 0, ended
    assert kept.standin.maintenance["on"] is True


def test_without_a_moment_everything_that_was_archived_is_restored(kept: World) -> None:
    ended = kept.invoke(*RESTORE)
    assert "restore dev to the end of the archive" in ended.output
    assert "lost: at most the last 3 s" in ended.output
    assert "restore --to latest" in changes(kept)


def test_a_time_is_told_to_the_service_with_its_zone(kept: World) -> None:
    moment = str(kept.standin.points["dev"][1]["time"])
    assert kept.invoke(*RESTORE, "--to", moment).exit_code == 0
    assert f"restore --to {moment.replace('Z', '+00:00')}" in changes(kept)


def test_a_point_whose_copy_is_gone_stops_nothing(kept: World) -> None:
    kept.standin.points["dev"][0]["repositories"] = []
    ended = kept.invoke(*RESTORE, "--to", "p1")
    assert ended.exit_code == 2
    assert "point p1 of dev rests on is in no repository" in ended.errors
    assert changes(kept) == []


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("p9", "neither a point of dev (the newest are: p1, p2), nor a time"),
        ("yesterday", "neither a point of dev"),
        ("2026-99-01", "is no time"),
        ("2026-01-01T10:00", "names no zone"),
        ("2926-01-01T10:00Z", "is still to come"),
        ("2016-01-01T10:00Z", "The oldest point of dev is of"),
    ],
)
def test_what_cannot_be_restored_is_a_refusal(kept: World, to: str, said: str) -> None:
    ended = kept.invoke(*RESTORE, "--to", to)
    assert ended.exit_code == 2
    assert said in ended.errors
    assert changes(kept) == []


def test_a_database_that_does_not_answer_is_restored_without_a_point_of_it(kept: World) -> None:
    (server,) = (
        each
        for each in kept.standin.project("slipway-dev-platform")
        if each["Name"].endswith("-postgres-1")
    )
    server["State"]["Health"]["Status"] = "unhealthy"
    ended = kept.invoke(*RESTORE, "--to", "p2")
    assert ended.exit_code == 0, ended
    assert "no point of what is there now: the database does not answer" in ended.output
    assert kept.ledger()[-1]["restore"]["safety"] == ""


def test_answers_that_the_engine_loses_are_asked_for_again(kept: World) -> None:
    kept.standin.faults.lost = {"read", "restore"}
    ended = kept.invoke(*RESTORE, "--to", "p1")
    assert ended.exit_code == 0, ended
    assert kept.standin.faults.lost == set()


def test_a_safety_point_that_fails_leaves_everything_as_it_was(kept: World) -> None:
    said = standin_backup.failed(1, "the repository is full", "invoke backup.list --env dev")
    kept.standin.faults.backup = {"run": said}
    ended = kept.invoke(*RESTORE, "--to", "p2")
    assert ended.exit_code == 1
    assert "the repository is full" in ended.errors
    assert changes(kept) == [
        *("maintenance on", "backup run --name before-restore", "maintenance off")
    ]
    assert kept.standin.maintenance == {"on": False}
    # Nothing was begun that a release would have to wait for.
    assert kept.release().exit_code == 0
    assert "--without-point REASON" in ended.errors
    without = kept.invoke(*RESTORE, "--to", "p2", "--without-point", "a page is damaged")
    assert without.exit_code == 0, without
    assert "no point of what is there now: a page is damaged" in without.output
    told = kept.ledger()[-1]["restore"]
    assert (told["safety"], told["without_point"]) == ("", "a page is damaged")


def test_a_safety_point_that_is_interrupted_lets_callers_in_again(
    kept: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("slipway.backup.ask", interrupted)
        assert kept.invoke(*RESTORE, "--to", "p2").exit_code == 130
    assert changes(kept) == ["maintenance on", "maintenance off"]


def test_a_page_that_a_killed_restore_left_is_taken_down_by_the_next(kept: World) -> None:
    page = ("maintenance", "--env", "dev", "--state", "on", "--message", restore.MESSAGE)
    assert kept.invoke(*page).exit_code == 0
    assert kept.invoke(*RESTORE, "--to", "p2").exit_code == 0
    assert kept.standin.maintenance == {"on": False}


def test_what_callers_began_before_the_page_is_in_the_safety_point(kept: World) -> None:
    address, *_ = (
        f"{network['IPAddress']}:8000"
        for each in kept.standin.project("slipway-dev-g1")
        for name, network in each["NetworkSettings"]["Networks"].items()
        if name == "slipway-dev-edge-app"
    )
    # One answer for each time the edge is asked: where it leads to, then until it has answered.
    kept.standin.in_flight = [{}, {address: 1}, {address: 1}, {}]
    assert kept.invoke(*RESTORE, "--to", "p2").exit_code == 0
    assert kept.standin.in_flight == []


def test_while_a_restore_is_not_finished_nothing_is_started_on_its_data(kept: World) -> None:
    said = standin_backup.failed(1, "a block of p1 is damaged", "")
    kept.standin.faults.backup = {"restore": said}
    ended = kept.invoke(*RESTORE, "--to", "p1")
    assert ended.exit_code == 1
    assert "a block of p1 is damaged" in ended.errors
    assert "dev is not served until a restore has ended" in ended.errors
    for words in (("release",), ("rollback",)):
        refused = kept.invoke(*words, "--env", "dev")
        assert refused.exit_code == 2, refused
    refused = kept.release()
    assert "A restore of dev to p1 was begun and did not end" in refused.errors
    assert "next: invoke restore --env dev --to p1" in refused.errors
    kept.standin.faults.backup = {}
    kept.standin.changes.clear()
    other = kept.invoke(*RESTORE, "--to", "p2")
    assert other.exit_code == 0, other
    assert "what was there before is point p3" in other.output
    assert changes(kept)[0] == "restore --point p2"
    assert kept.standin.maintenance == {"on": False}


def test_what_was_killed_and_then_stopped_altogether_still_ends(kept: World) -> None:
    kept.standin.faults.backup = {"restore": standin_backup.failed(1, "the disk is full", "")}
    assert kept.invoke(*RESTORE, "--to", "p1").exit_code == 1
    kept.standin.faults.backup = {}
    assert kept.invoke("down", "--env", "dev").exit_code == 0
    assert kept.release().exit_code == 2
    ended = kept.invoke(*RESTORE, "--to", "p1")
    assert ended.exit_code == 0, ended
    assert "Nothing to do" in kept.release().output


class TestDataTier:
    """The other members copy what the first one was restored to, and agree on it anew."""

    @pytest.fixture
    def tier(self, kept: World) -> World:
        kept.configure(database={"replicas": 2, "synchronous": True})
        ended = kept.release()
        assert ended.exit_code == 0, ended
        kept.standin.primaries["dev"] = "postgres-2"
        kept.standin.forget()
        return kept

    def test_the_primary_stops_last_and_the_copies_go(self, tier: World) -> None:
        ended = tier.invoke(*RESTORE, "--to", "p1")
        assert ended.exit_code == 0, ended
        done = changes(tier)
        stopped = [each for each in done if each.startswith("stop ")]
        assert stopped == [
            f"stop platform-{each}-1" for each in ("postgres-3", "postgres", "postgres-2", "etcd")
        ]
        gone = [each.rpartition("/")[2] for each in done if each.startswith("DELETE /volumes")]
        assert gone == ["etcd", "postgres-2", "postgres-3"]
        began = done.index("restore --point p1")
        assert began < min(done.index(each) for each in done if each.startswith("DELETE"))
        assert [each for each in done[began:] if "postgres" in each or "etcd" in each][3:] == [
            *("platform etcd", "postgres adopt", "platform postgres"),
            *("platform postgres-2", "platform postgres-3"),
        ]
        assert "Nothing to do" in tier.release().output


class TestInto:
    """Another environment, which is stopped, is given the data; the one it is of goes on."""

    INTO = ("restore", "--env", "dev", "--to", "p1", "--into", "copy")

    def test_one_that_was_never_released_is_brought_up_on_it_by_a_release(
        self, kept: World
    ) -> None:
        kept.environment("copy", backup={"policy": "none"})
        ended = kept.invoke(*self.INTO)
        assert ended.exit_code == 0, ended
        assert kept.standin.restored == {"slipway-copy-postgres": "p1"}
        assert not [each for each in changes(kept) if each.startswith(("down", "stop", "maint"))]
        assert "invoke release --env copy brings it up" in ended.output
        assert [line["result"] for line in kept.ledger("copy")] == ["restored"]
        released = kept.release_to("copy")
        assert released.exit_code == 0, released
        assert "Nothing to do" in kept.release().output

    def test_another_restore_from_the_same_backups_goes_on(self, kept: World) -> None:
        kept.environment("copy", backup={"policy": "none"})
        labels = {f"com.docker.compose.{name}": value for name, value in ONE_OFF.items()}
        for name in ("other", "copy"):
            kept.standin.containers[name] = {
                "Id": name,
                "Name": f"/slipway-dev-platform-backup-run-{name}",
                "Image": next(iter(kept.standin.images)),
                "Config": {"Labels": labels},
                "NetworkSettings": {"Networks": {}},
                "Mounts": [{"Name": f"slipway-{name}-files"}],
            }
        assert kept.invoke(*self.INTO).exit_code == 0
        assert "other" in kept.standin.containers
        assert "copy" not in kept.standin.containers

    def test_the_repository_is_only_read(self, kept: World) -> None:
        kept.environment("copy", backup={"policy": "none"})
        assert kept.invoke(*self.INTO).exit_code == 0
        assert kept.standin.read_only == {"/var/lib/slipway-backup", "/run/secrets"}

    def test_one_that_has_data_is_stopped_and_named_back(self, kept: World) -> None:
        kept.environment("copy", database={"replicas": 1, "synchronous": True})
        assert kept.release_to("copy").exit_code == 0
        runs = kept.invoke(*self.INTO)
        assert runs.exit_code == 2
        assert "next: invoke down --env copy" in runs.errors
        assert kept.invoke("down", "--env", "copy").exit_code == 0
        asked = kept.invoke(*self.INTO)
        assert asked.exit_code == 2
        assert "give --yes-overwrite copy" in asked.errors
        ended = kept.invoke(*self.INTO, "--yes-overwrite", "copy")
        assert ended.exit_code == 0, ended
        gone = {"slipway-copy-etcd", "slipway-copy-postgres-2"}
        assert not gone & set(kept.standin.volumes)
        assert kept.release_to("copy").exit_code == 0

    def test_until_its_data_is_whole_it_is_not_released(self, kept: World) -> None:
        kept.environment("copy", backup={"policy": "none"})
        kept.standin.faults.backup = {"restore": standin_backup.failed(1, "the disk is full", "")}
        assert kept.invoke(*self.INTO).exit_code == 1
        refused = kept.release_to("copy")
        assert refused.exit_code == 2
        assert "next: invoke restore --env dev --to p1 --into copy" in refused.errors
        kept.standin.faults.backup = {}
        assert kept.invoke(*self.INTO).exit_code == 0
        assert kept.release_to("copy").exit_code == 0

    def test_itself_is_a_refusal(self, kept: World) -> None:
        ended = kept.invoke(*self.INTO[:-1], "dev")
        assert ended.exit_code == 2
        assert "dev is dev itself" in ended.errors


class TestWithData:
    """A rollback may take the data back too, and says what that loses."""

    BACK = ("rollback", "--env", "dev", "--with-data", "p1", "--yes-overwrite", "dev")

    @pytest.fixture
    def changed(self, kept: World) -> World:
        kept.change("services/backend/app.py")
        assert kept.release().exit_code == 0
        # As a contract leaves it, that the earlier code does not know.
        kept.standin.database = {"current": "0002", "applied": {"0001": "a", "0002": "b"}}
        kept.standin.changes.clear()
        return kept

    def test_the_earlier_release_comes_up_on_the_earlier_data(self, changed: World) -> None:
        before, now = changed.ledger()[-2:]
        alone = changed.invoke("rollback", "--env", "dev")
        assert alone.exit_code == 2
        ended = changed.invoke(*self.BACK)
        assert ended.exit_code == 0, ended
        assert "lost: everything of the last 2 hours" in ended.output
        assert changed.standin.restored == {"slipway-dev-postgres": "p1"}
        line = changed.ledger()[-1]
        assert (line["kind"], line["result"], line["to"]) == ("rollback", "done", before["number"])
        assert line["images"]["backend"] == before["images"]["backend"] != now["images"]["backend"]
        assert "migrate" in changes(changed)

    def test_it_asks_for_the_name(self, changed: World) -> None:
        ended = changed.invoke(*self.BACK[:-2])
        assert ended.exit_code == 2
        assert "give --yes-overwrite dev" in ended.errors
        assert changes(changed) == []

    def test_what_was_killed_goes_on_by_its_own_words(self, changed: World) -> None:
        version = changed.ledger()[-2]["version"]
        said = standin_backup.failed(1, "the disk is full", "")
        changed.standin.faults.backup = {"restore": said}
        assert changed.invoke(*self.BACK).exit_code == 1
        refused = changed.release()
        command = f"invoke rollback --env dev --to {version} --with-data p1"
        assert f"next: {command}" in refused.errors
        changed.standin.faults.backup = {}
        words = command.split()[1:]
        ended = changed.invoke(*words, "--yes-overwrite", "dev")
        assert ended.exit_code == 0, ended
        assert changed.ledger()[-1]["version"] == version


def test_an_environment_without_backups_has_nothing_to_restore(released: World) -> None:
    ended = released.invoke(*RESTORE)
    assert ended.exit_code == 2
    assert "dev is not backed up" in ended.errors
