"""A point is kept elsewhere too: in one file for the shelf, and in a second repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_rig import NAME, Rig
from docker.models.containers import Container

SECOND = "/var/lib/slipway-second"


def test_a_point_in_one_file_is_a_repository_of_its_own(rig: Rig, tmp_path: Path) -> None:
    taken = rig.verb("run", "--kind", "full", "--name", "for-the-shelf")
    assert taken.code == 0, taken.text
    later = rig.verb("run")
    assert later.code == 0, later.text
    file = tmp_path / "point.tar"
    with file.open("wb") as out:
        done = subprocess.run(
            [
                *("docker", "exec", rig.service.id or "", "slipway-backup"),
                *("export", "--point", "for-the-shelf", "--to", "-"),
            ],
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    # Nothing of what is stored can be read without the key.
    assert b"turbine" not in file.read_bytes()
    assert b"document 3" not in file.read_bytes()
    rig.volume("unpacked")
    helper = rig.engine.containers.create(
        rig.images["backup"],
        ["-c", "chown -R 10006:10006 /r"],
        entrypoint="sh",
        user="0:0",
        mounts=[rig._mount("unpacked", "/r")],
        labels={"rig": rig.network.name},
    )
    helper.put_archive("/r", file.read_bytes())
    helper.start()
    helper.wait()
    helper.remove()
    listed = rig.once("list", repository="unpacked")
    assert [each["name"] for each in listed.told["points"]] == ["for-the-shelf"]
    answer = rig.once("drill", repository="unpacked")
    assert answer.code == 0, answer.text
    assert answer.told["drill"]["point"] == taken.told["point"]["id"]
    wrong = rig.once("drill", repository="unpacked", secrets="secrets-wrong")
    assert wrong.code == 1


@pytest.fixture
def twice(rig: Rig) -> Iterator[Container]:
    """A service with two repositories in place of the other one, which comes back afterwards."""
    rig.end(rig.service)
    for name in ("first", "second"):
        rig.volume(name)
        rig.shell("chown 10006:10006 /v", {name: "/v"})
    policy = {"second": {"kind": "path", "path": SECOND, "keep": {"full": 2}}}
    service = rig.start_service(
        "first", extra={"second": SECOND}, BACKUP_POLICY=json.dumps(policy | rig.never)
    )
    try:
        yield service
    finally:
        rig.end(service)
        for name in ("first", "second"):
            rig.engine.volumes.get(f"{NAME}-{name}").remove()
        rig.service = rig.start_service()


def test_a_second_repository_is_enough(rig: Rig, twice: Container) -> None:
    taken = rig.verb("run", "--name", "twice", container=twice)
    assert taken.code == 0, taken.text
    assert taken.told["point"]["repositories"] == [1, 2]
    rows = rig.query("SELECT count(*) FROM ledger")
    twice.exec_run(["sh", "-c", "rm -rf /var/lib/slipway-backup/repository/*"], user="10006")
    rig.postgres_volume("from-the-second")
    policy = json.dumps({"second": {"kind": "path", "path": SECOND}})
    answer = rig.restore(
        *("--point", "twice"),
        volume="from-the-second",
        repository="first",
        mounts={"second": SECOND},
        BACKUP_POLICY=policy,
    )
    assert answer.code == 0, answer.text
    assert answer.told["restored"]["repository"] == 2
    with rig.restored("from-the-second") as server:
        assert rig.query("SELECT count(*) FROM ledger", server) == rows


def test_a_second_repository_that_is_away_holds_nothing_up(rig: Rig, twice: Container) -> None:
    rig.shell("chown -R 0:0 /v", {"second": "/v"})
    rig.query("INSERT INTO ledger VALUES (77)")
    taken = rig.verb("run", "--name", "alone", container=twice)
    assert taken.code == 0, taken.text
    assert taken.told["point"]["repositories"] == [1]
    assert "repository 2" in taken.told["missed"][0]
    problems = rig.verb("status", container=twice).told["problems"]
    assert any("not in repository 2" in each for each in problems)
    # The log of this machine's repository goes on too, and a restore from it needs no other.
    drill = rig.verb("drill", container=twice)
    assert drill.code == 0, drill.text
    rig.shell("chown -R 10006:10006 /v", {"second": "/v"})
    again = rig.verb("run", container=twice)
    assert again.code == 0, again.text
    assert again.told["point"]["repositories"] == [1, 2]
    queue = "/var/lib/slipway-backup/repository/work/queue/2"
    rig.eventually(
        lambda: twice.exec_run(["find", queue, "-type", "f"], user="10006").output == b"",
        "an empty queue",
    )
