"""What was backed up comes back: a point exactly, a time between two writes, and the files."""

from __future__ import annotations

import errno
import json
import subprocess
import time

import pytest
from backup_rig import HOME, NAME, RESTORER, TOKEN, Rig
from docker.models.containers import Container

ALL = "SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} AS t"
TABLES = ("documents", "chunks", "ledger", "settings", "alembic_version")


def content(rig: Rig, container: object = None) -> list[str]:
    """Every table's rows, told in another way than the service's."""
    return [rig.query(ALL.format(table), container)[0] for table in TABLES]  # type: ignore[arg-type]


def test_a_point_comes_back_exactly_with_its_files(rig: Rig) -> None:
    rig.query("INSERT INTO ledger VALUES (1), (2), (3)")
    then = content(rig)
    taken = rig.verb("run", "--kind", "full", "--name", "monday")
    assert taken.code == 0, taken.text
    assert taken.told["point"]["release"] == {
        "generation": 7,
        "manifest": "sha256:7",
        "version": "v7",
    }
    rig.query("DELETE FROM ledger; UPDATE settings SET value = 'other'")
    assert content(rig) != then
    rig.postgres_volume("restored")
    rig.put("restored-files", {}, 10001)
    answer = rig.restore(
        *("--point", "monday", "--files", "/restore/files"),
        mounts={"restored-files": "/restore/files"},
    )
    assert answer.code == 0, answer.text
    assert answer.told["restored"]["files"] == len(rig.names)
    with rig.restored() as server:
        assert content(rig, server) == then
        # It goes on as a server of its own, and not as somebody's copy.
        rig.query("INSERT INTO ledger VALUES (4)", server)
        assert rig.query("SELECT pg_is_in_recovery()", server) == ["f"]
    name = rig.names[3]
    found = rig.shell(
        f"cd /r/{name[:2]}; stat -c '%u %a' {name}; sha256sum {name}; find /r -type f | wc -l",
        {"restored-files": "/r:ro"},
    ).split()
    assert found[:3] == ["10001", "600", name]
    assert int(found[-1]) == len(rig.names)


def test_a_time_between_two_writes_has_the_first_and_not_the_second(rig: Rig) -> None:
    rig.query("INSERT INTO ledger VALUES (10)")
    (between,) = rig.query("SELECT clock_timestamp()::text FROM pg_sleep(0.3)")
    time.sleep(0.3)
    rig.query("INSERT INTO ledger VALUES (11)")
    archived(rig)
    rig.postgres_volume("at-a-time")
    answer = rig.restore("--to", zoned(between), volume="at-a-time")
    assert answer.code == 0, answer.text
    with rig.restored("at-a-time") as server:
        assert rig.query("SELECT id FROM ledger WHERE id IN (10, 11)", server) == ["10"]


def test_a_time_after_the_last_write_and_the_latest_have_everything(rig: Rig) -> None:
    rig.query("INSERT INTO ledger VALUES (20)")
    archived(rig)
    (after,) = rig.query("SELECT (clock_timestamp() + interval '1 hour')::text")
    for number, target in enumerate((zoned(after), "latest")):
        volume = f"to-the-end-{number}"
        rig.postgres_volume(volume)
        answer = rig.restore("--to", target, volume=volume)
        assert answer.code == 0, answer.text
        assert answer.told["restored"]["reached"] == "the end of the archive"
        with rig.restored(volume) as server:
            assert rig.query("SELECT id FROM ledger WHERE id = 20", server) == ["20"]


def test_a_restore_that_was_killed_goes_on_when_it_is_typed_again(rig: Rig) -> None:
    then = content(rig)
    assert rig.verb("run", "--name", "before the kill").code == 2
    assert rig.verb("run", "--name", "before-the-kill").code == 0
    rig.postgres_volume("killed")
    kinds = set()
    # At the beginning, while files are copied, and while the log is replayed.
    for share in (0.01, 0.2, 0.62):
        container = rig.run(
            rig.images["backup"],
            "to-be-killed",
            mounts={**rig.mounts(), "killed": "/restore/postgres"},
            network=False,
            user="0:0",
            cap_add=list(RESTORER),
            environment=rig.environment(),
            command=["restore", "--point", "before-the-kill", "--data", "/restore/postgres/17"],
        )
        kinds.add(until(container, share))
        container.kill()
        container.remove(force=True)
    assert len(kinds) > 1, kinds
    answer = rig.restore("--point", "before-the-kill", volume="killed")
    assert answer.code == 0, answer.text
    with rig.restored("killed") as server:
        assert content(rig, server) == then
        refused = rig.restore("--point", "before-the-kill", volume="killed")
        assert refused.code == 2
        assert "a server runs on" in refused.told["error"]


@pytest.mark.parametrize("share", [pytest.param(0.2, marks=pytest.mark.exhaustive), 0.75])
def test_a_run_that_was_killed_leaves_no_point_and_is_in_nobodys_way(
    rig: Rig, share: float
) -> None:
    before = [each["id"] for each in rig.verb("list").told["points"]]
    # What runs is in a session of its own: the service's user ends it, as a lost machine would.
    run = subprocess.Popen(
        ["docker", "exec", rig.service.id or "", "slipway-backup", "run", "--kind", "full"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    # Whoever writes keeps it from its end for as long as it takes to kill it.
    with run, rig.writing("ledger"):
        assert run.stderr is not None
        for line in run.stderr:
            if json.loads(line)["progress"] >= share:
                break
        kill(rig, "slipway_backup run")
    assert [each["id"] for each in rig.verb("list").told["points"]] == before
    again = rig.verb("run")
    assert again.code == 0, again.text
    after = [each["id"] for each in rig.verb("list").told["points"]]
    assert after == [*before, again.told["point"]["id"]]


def test_the_second_of_two_runs_says_who_is_at_work(rig: Rig) -> None:
    first = subprocess.Popen(
        ["docker", "exec", rig.service.id or "", "slipway-backup", "run"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with first:
        # Whoever writes keeps the first from its end for as long as the second takes to begin.
        with rig.writing("ledger"):
            assert first.stderr is not None
            first.stderr.readline()
            second = rig.verb("run")
        first.communicate()
    assert first.returncode == 0
    assert second.code == 2
    assert "takes a point (incr)" in second.told["error"]


def test_a_full_disk_is_named_and_nothing_is_removed_for_it(rig: Rig) -> None:
    before = [each["id"] for each in rig.verb("list").told["points"]]
    rig.query("CREATE TABLE large AS SELECT md5(random()::text) FROM generate_series(1, 200000)")
    fill = f"dd if=/dev/zero of={HOME}/repository/filler bs=64k 2> /dev/null || true; sync"
    rig.service.exec_run(["sh", "-c", fill], user="10006")
    failed = rig.verb("run", "--kind", "full")
    rig.service.exec_run(["rm", f"{HOME}/repository/filler"], user="10006")
    assert failed.code == 1
    assert "the repository is full" in failed.told["error"], failed.text
    rig.query("DROP TABLE large")
    again = rig.verb("run")
    assert again.code == 0, again.text
    after = [each["id"] for each in rig.verb("list").told["points"]]
    assert after == [*before, again.told["point"]["id"]]
    archived(rig)


def test_another_key_is_told_and_changes_nothing(rig: Rig) -> None:
    copy = rig.copy_of_repository("for-another-key")
    listing = "cd /r && find pgbackrest restic -type f | sort | xargs sha256sum"
    before = rig.shell(listing, {copy: "/r:ro"})
    for words in (["list"], ["run"], ["verify"], ["export", "--point", "latest", "--to", "-"]):
        answer = rig.once(*words, repository=copy, secrets="secrets-wrong")
        assert answer.code == 1, answer.text
        assert "the key does not open repository 1" in answer.text
    restored = rig.restore("--point", "latest", repository=copy, secrets="secrets-wrong")
    assert "the key does not open" in restored.text
    assert rig.shell(listing, {copy: "/r:ro"}) == before


def test_the_interface_tells_what_there_is_and_asks_for_a_token(rig: Rig) -> None:
    status, text = rig.asked(rig.service, "/v1/points")
    assert status == 200
    assert json.loads(text)["points"]
    assert rig.asked(rig.service, "/v1/runs", "{}")[0] == 401
    figures = rig.asked(rig.service, "/metrics")[1]
    assert "slipway_backup_archive_receiving 1.0" in figures
    before = len(rig.verb("list").told["points"])
    assert rig.asked(rig.service, "/v1/runs", "{}", f"Bearer {TOKEN}")[0] == 202
    rig.eventually(
        lambda: len(rig.verb("list").told["points"]) == before + 1, "the point that was asked for"
    )


def test_the_service_opens_no_file_of_the_hosts_by_its_handle(rig: Rig) -> None:
    call = (
        "import ctypes, platform\n"
        "from slipway_backup import privileges\n"
        "library = ctypes.CDLL(None, use_errno=True)\n"
        "number = privileges.HANDLES[platform.machine()][1]\n"
        "library.syscall(number, -100, ctypes.create_string_buffer(64), 0)\n"
        "print(ctypes.get_errno())"
    )
    become = f"from slipway_backup import privileges; privileges.go_on(['python3', '-c', {call!r}])"
    said = rig.service.exec_run(["python3", "-c", become], user="0:0").output
    assert int(said) == errno.EPERM, said
    # Without the filter the kernel looks at the handle, and does not like this one.
    said = rig.service.exec_run(["python3", "-c", call], user="0:0").output
    assert int(said) == errno.EINVAL, said


@pytest.mark.exhaustive
def test_the_service_goes_on_after_its_database_was_restored(rig: Rig) -> None:
    rig.query("INSERT INTO ledger VALUES (30)")
    left = []
    # The second time from what the restored database went on to, which is another timeline.
    for time_ in (1, 2):
        point = rig.verb("run").told["point"]["id"]
        rig.query(f"INSERT INTO ledger VALUES (3{time_})")
        (then,) = rig.query("SELECT clock_timestamp()::text FROM pg_sleep(0.1)")
        archived(rig)
        left.append((time_, rig.verb("run").told["point"]["id"], zoned(then)))
        refused = rig.restore("--point", point, volume="postgres")
        assert refused.code == 2, refused.text
        rig.database.stop()
        rig.database.remove()
        answer = rig.restore("--point", point, volume="postgres")
        assert answer.code == 0, answer.text
        rig.start_database()
        assert rig.query(f"SELECT id FROM ledger WHERE id = 3{time_}") == []
        rig.query(f"INSERT INTO ledger VALUES (4{time_})")
        archived(rig)
        taken = rig.verb("run")
        assert taken.code == 0, taken.text
        drill = rig.verb("drill")
        assert drill.code == 0, drill.text
        assert drill.told["drill"]["point"] == taken.told["point"]["id"]
    # What the restores left behind is there for who wants it back, as a point and as a time.
    for time_, safe, then in left:
        for number, words in enumerate((("--point", safe), ("--to", then))):
            volume = f"left-behind-{time_}-{number}"
            rig.postgres_volume(volume)
            answer = rig.restore(*words, volume=volume)
            assert answer.code == 0, answer.text
            with rig.restored(volume) as server:
                found = rig.query(f"SELECT id FROM ledger WHERE id IN (3{time_}, 4{time_})", server)
            assert found == [f"3{time_}"]


def until(container: Container, share: float) -> str:
    """Wait until a work is so far; what it is at then."""
    words = ("docker", "logs", "--follow", container.id or "")
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as logs:
        assert logs.stderr is not None
        for line in logs.stderr:
            if line.startswith('{"progress"') and json.loads(line)["progress"] >= share:
                logs.terminate()
                return str(json.loads(line)["what"]).split(",")[0]
    raise AssertionError(f"it ended before {share:.0%}: {container.logs()!r}")


def archived(rig: Rig) -> None:
    """Wait until everything that was written is in the archive."""

    def done() -> bool:
        archive = rig.verb("status").told["archive"]
        return archive["receiving"] and not archive["behind_since"] and not archive["error"]

    time.sleep(1.5)
    rig.eventually(done, "an archive that has everything")


def zoned(text: str) -> str:
    """PostgreSQL's time as ISO 8601 has it."""
    return text.replace(" ", "T").replace("+00", "+00:00")


def kill(rig: Rig, what: str) -> None:
    """SIGKILL the process of the service's container whose command line has these words."""
    script = (
        "import os, pathlib\n"
        "for each in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    words = each.read_bytes().replace(b'\\0', b' ').decode()\n"
        f"    if {what!r} in words and int(each.parent.name) != os.getpid():\n"
        "        os.kill(int(each.parent.name), 9); print(words)\n"
    )
    done = rig.service.exec_run(["python3", "-c", script], user="10006")
    assert done.output.strip(), f"{NAME}: nothing to kill for {what}"
