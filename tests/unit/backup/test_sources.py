"""Both tools are told by their environment alone what they need, and their words are understood."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from slipway_backup import repositories
from slipway_backup.errors import Failed, Refused
from slipway_backup.policy import Policy, Second
from slipway_backup.process import Done, failure, run
from slipway_backup.settings import Settings
from slipway_backup.sources import database, files

S3 = Second(kind="s3", bucket="points", endpoint="https://s3.example.org", path="/env")
SFTP = Second(kind="sftp", host="far", user="keeper", path="/points", host_fingerprint="ab")


def test_the_archive_is_told_of_no_server_and_a_copy_of_every_one(own: Settings) -> None:
    alone = database.told(own)
    assert not [name for name in alone if "_PG1_" in name]
    assert alone["PGBACKREST_REPO1_CIPHER_TYPE"] == "aes-256-cbc"
    members = database.servers(own.model_copy(update={"database_hosts": "postgres, postgres-2"}))
    assert members["PGBACKREST_PG2_HOST"] == "postgres-2"
    assert members["PGBACKREST_PG1_USER"] == "slipway_backup"
    assert members["PGBACKREST_BACKUP_STANDBY"] == "prefer"
    assert database.servers(own)["PGBACKREST_BACKUP_STANDBY"] == "n"


def test_each_repository_has_its_own_place_and_number_kept(make: Callable[..., Settings]) -> None:
    own = make(
        backup_policy=Policy().model_copy(
            update={"second": Second(**{**S3.model_dump(), "keep": {"full": 9}})}
        ),
        second_access_key="id",
        second_secret_key="secret",
    )
    first, second = repositories.all_of(own)
    told = database.told(own)
    assert (first.keep.full, second.keep.full) == (4, 9)
    assert told["PGBACKREST_REPO1_RETENTION_FULL"] == "4"
    assert told["PGBACKREST_REPO2_RETENTION_FULL"] == "9"
    assert told["PGBACKREST_REPO2_S3_ENDPOINT"] == "s3.example.org"
    assert told["PGBACKREST_REPO2_CIPHER_PASS"]
    env = repositories.restic(second, own)
    assert env["RESTIC_REPOSITORY"] == "s3:https://s3.example.org/points/env/restic"
    assert env["AWS_SECRET_ACCESS_KEY"] == "secret"
    assert "AWS_SECRET_ACCESS_KEY" not in repositories.restic(first, own)


def test_an_sftp_server_is_known_by_its_key(make: Callable[..., Settings]) -> None:
    own = make(backup_policy=Policy(second=SFTP))
    (own.secrets_directory / "second_key").write_text("PEM")
    second = repositories.all_of(own)[1]
    told = repositories.pgbackrest(second, own)
    assert told["PGBACKREST_REPO2_SFTP_HOST_KEY_CHECK_TYPE"] == "fingerprint"
    assert "StrictHostKeyChecking=yes" in repositories.restic_options(second, own)[-1]
    assert (
        repositories.restic(second, own)["RESTIC_REPOSITORY"]
        == "sftp://keeper@far:22//points/restic"
    )


def test_what_could_not_be_read_counts_unless_it_went_meanwhile() -> None:
    lines = [
        {"message_type": "error", "error": {"message": "open /a: permission denied"}},
        {"message_type": "error", "error": {"message": "lstat /b: no such file or directory"}},
        {"message_type": "exit_error", "code": 3, "message": "at least one file"},
    ]
    text = "\n".join([*map(json.dumps, lines), "not JSON"])
    assert files.unreadable(text) == ["open /a: permission denied"]


def test_a_snapshot_that_is_not_whole_is_none_whatever_restic_says_of_it(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = {"message_type": "summary", "snapshot_id": "5f"}
    summary["backup_start"] = "2026-11-29T12:00:00"
    counts = ("total_files_processed", "total_bytes_processed", "data_added_packed")
    text = json.dumps(summary | dict.fromkeys(counts, 1))
    said = ""
    forgotten: list[str] = []

    def call(_own: Settings, _at: object, words: list[str], **options: Any) -> Done:
        if words[0] == "forget":
            forgotten.append(words[1])
            return Done(0, "")
        options["on_line"](text)
        return Done(files.INCOMPLETE, text, said)

    monkeypatch.setattr(files, "call", call)
    place = repositories.all_of(own)[0]
    gone = {"message_type": "error", "error": {"message": f"lstat /b: {files.GONE}"}}
    with pytest.raises(Failed, match="could not be read"):
        files.backup(own, place, [], [])
    said = "Warning: at least one source file could not be read"
    with pytest.raises(Failed, match="at least one source file"):
        files.backup(own, place, [], [])
    assert forgotten == ["5f", "5f"]
    said = json.dumps(gone)
    assert files.backup(own, place, [], []).id == "5f"


def test_pgbackrests_errors_are_told_with_their_hints() -> None:
    text = (
        "P00 INFO: begin\nP00  ERROR: [056]: unable to find primary\nHINT: check it\nP00 INFO: end"
    )
    assert database.said(Done(1, text)) == "[056]: unable to find primary HINT: check it"
    assert database.said(Done(1, "only words")) == "only words"


def test_a_full_disk_is_told_in_words_of_its_own() -> None:
    found = failure("restic", Done(1, "", "write /r: No space left on device"))
    assert "the disk of the repository is full" in str(found)
    assert "keep fewer" in found.next
    assert "restic ended with 1: broken" in str(failure("restic", Done(1, "broken")))


def test_a_program_that_does_not_end_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(Failed, match=r"sleep did not end in 0\.2 s"):
        run(["sleep", "30"], seconds=0.2)
    assert time.monotonic() - began < 10
    assert run(["echo", "done"], seconds=30).output == "done\n"


def test_a_repository_that_cannot_be_read_is_no_empty_one(own: Settings) -> None:
    first = repositories.all_of(own)[0]
    stanzas = [{"repo": [{"status": {"code": 99, "message": "[FormatError] unable to load"}}]}]
    with pytest.raises(Failed, match="repository 1"):
        database._require_open(stanzas, first)
    database._require_open([{"repo": [{"status": {"code": 2, "message": "no"}}]}], first)


def test_a_missing_secret_is_named(own: Settings) -> None:
    with pytest.raises(Refused, match="second_key is missing"):
        own.secret("second_key")


def test_the_member_that_was_copied_is_the_one_that_most_files_came_from() -> None:
    text = (
        "P01 DETAIL: backup file postgres:/data/global/pg_control (8KB, 9.1%)\n"
        "P01 DETAIL: backup file postgres-2:/data/base/1/1 (bundle 1/0, 8KB, 20%)\n"
        "P02 DETAIL: backup file postgres-2:/data/base/1/2 (bundle 1/9, 8KB, 30%)\n"
    )
    assert database.read_from(text) == "postgres-2"
    assert database.read_from("nothing") == ""
