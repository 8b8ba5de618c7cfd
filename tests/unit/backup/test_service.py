"""What the service tells: health, figures, runs and drills, and whom it obeys."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from slipway_backup import (
    api,
    cli,
    drill,
    history,
    lock,
    points,
    privileges,
    progress,
    repositories,
    retention,
    schedule,
    state,
    status,
    taking,
    verifying,
)
from slipway_backup.errors import Failed, Refused
from slipway_backup.points import Point, Stored
from slipway_backup.settings import Settings


def ask(
    own: Settings, path: str, *, method: str = "GET", token: str = "", body: str = ""
) -> tuple[int, str]:
    """What the application answers, asked as a server would."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
        "server": ("localhost", 8080),
        "client": ("localhost", 1),
    }
    asyncio.run(api.make_app(own)(scope, receive, send))  # type: ignore[arg-type]
    text = b"".join(each.get("body", b"") for each in sent[1:])
    return int(sent[0]["status"]), text.decode()


def test_it_is_live_and_not_ready_before_the_log_is_received(own: Settings) -> None:
    assert ask(own, "/health/live")[0] == 200
    code, text = ask(own, "/health/ready")
    assert code == 503
    assert "the log is not received" in text


def test_a_point_is_taken_for_the_token_alone(own: Settings) -> None:
    for token in ("", "other"):
        assert ask(own, "/v1/runs", method="POST", token=token, body="{}")[0] == 401
    nobody = own.model_copy(update={"backup_token": ""})
    assert ask(nobody, "/v1/runs", method="POST", body="{}")[0] == 401
    bad = '{"kind": "everything"}'
    assert ask(own, "/v1/runs", method="POST", token="token", body=bad)[0] == 422
    with lock.held(own.work_directory / "run.lock", "takes a point (full)"):
        code, text = ask(own, "/v1/runs", method="POST", token="token", body="{}")
    assert code == 409
    assert "takes a point (full)" in text


def test_figures_follow_the_history(own: Settings) -> None:
    assert "slipway_backup_problems" in ask(own, "/metrics")[1]
    history.append(own, "run", ok=True, point="a", taken="full", seconds=2.5, added_bytes=7)
    proofs = [{"name": "content", "ok": False, "found": "x"}]
    drill = {"point": "a", "ok": False, "key": "live", "proofs": proofs, "rto_seconds": 3.5}
    history.append(own, "drill", **drill, rpo_seconds=None)
    text = ask(own, "/metrics")[1]
    assert 'slipway_backup_last_success_timestamp_seconds{kind="incr"}' in text
    assert "slipway_backup_last_run_seconds 2.5" in text
    assert "slipway_backup_drill_ok 0.0" in text
    assert "slipway_backup_drill_rto_seconds 3.5" in text
    assert "drill_rpo_seconds" not in text
    assert "the last drill failed: content" in status.summary(own)["problems"]
    assert json.loads(ask(own, "/v1/drills")[1])["drills"][0]["point"] == "a"
    assert json.loads(ask(own, "/v1/runs")[1])["runs"][0]["taken"] == "full"


def test_a_run_that_hangs_is_told_by_how_long_it_has_been_at_work(own: Settings) -> None:
    name = 'slipway_backup_working_seconds{work="run"}'
    path = own.work_directory / "run.lock"
    with lock.held(path, "takes a point"):
        held = json.loads(path.read_text())
        path.write_text(json.dumps(held | {"since": "2026-01-01T00:00:00+00:00"}))
        (line,) = [each for each in ask(own, "/metrics")[1].splitlines() if name in each]
        assert float(line.split()[-1]) > 86400
    assert name not in ask(own, "/metrics")[1]


def test_the_repositories_take_turns_and_each_drill_counts(
    make: Callable[..., Settings], tmp_path: Path
) -> None:
    own = make(backup_policy={"second": {"kind": "path", "path": str(tmp_path / "second")}})
    proofs = [{"name": "content", "ok": False, "found": "x"}]

    def held(repository: int, *, ok: bool) -> None:
        told = {"point": "a", "ok": ok, "key": "live", "proofs": [] if ok else proofs}
        history.append(own, "drill", **told, repository=repository)

    assert drill.turn(own).number == 1
    held(1, ok=True)
    assert drill.turn(own).number == 2
    held(2, ok=False)
    assert drill.turn(own).number == 1
    held(1, ok=True)
    told = status.summary(own)
    assert "the last drill of repository 2 (path) failed: content" in told["problems"]
    assert "slipway_backup_drill_ok 0.0" in ask(own, "/metrics")[1]
    held(2, ok=True)
    assert "slipway_backup_drill_ok 1.0" in ask(own, "/metrics")[1]
    assert "out of repository 2" in (status.verified(own, "a") or {})["what"]


def test_a_drill_of_a_named_point_takes_it_from_the_first_repository_whosever_turn_it_is(
    make: Callable[..., Settings], tmp_path: Path
) -> None:
    own = make(backup_policy={"second": {"kind": "path", "path": str(tmp_path / "second")}})
    history.append(own, "drill", ok=True, point="a", key="live", repository=1)
    assert drill.turn(own).number == 2
    assert drill.run(own, "a").repository == 1
    assert drill.run(own).repository == 2


def test_no_drill_is_held_out_of_a_repository_that_is_not_there(own: Settings) -> None:
    with pytest.raises(Refused, match=r"no repository 2 \(there are: 1\)"):
        drill.run(own, repository=2)


def test_a_loss_of_the_log_is_a_problem_until_the_next_point(own: Settings) -> None:
    history.append(own, "run", ok=True, point="a", taken="full", seconds=2.5, added_bytes=7)
    history.append(own, "gap", ok=False)
    assert "a part of the log was lost" in " ".join(status.summary(own)["problems"])
    history.append(own, "run", ok=True, point="b", taken="incr", seconds=2.5, added_bytes=7)
    assert "was lost" not in " ".join(status.summary(own)["problems"])


def test_a_torn_line_of_the_history_is_passed_over(own: Settings) -> None:
    history.append(own, "run", ok=True, point="a")
    with history.path(own).open("a") as file:
        file.write('{"kind": "run", "o')
    assert [each["point"] for each in history.read(own, "run")] == ["a"]
    assert history.last(own, "run", ok=False) is None
    history.append(own, "run", ok=True, point="b")
    assert [each["point"] for each in history.read(own, "run")] == ["a", "b"]


def test_a_history_that_cannot_be_written_fails_nothing(own: Settings) -> None:
    own.work_directory.touch()
    assert history.append(own, "run", ok=False, wanted="full", reason="full")["reason"] == "full"
    # It is gone by all the same, or a full disk would be tried again every few seconds.
    assert schedule.due(own.backup_policy, history.read(own), history.now()) is None
    own.work_directory.unlink()
    history.append(own, "run", ok=True, point="a")
    assert [each["ok"] for each in history.read(own, "run")] == [False, True]
    assert len(history.path(own).read_text().splitlines()) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
def test_what_root_writes_down_belongs_to_whose_folder_it_is(own: Settings) -> None:
    own.work_directory.mkdir()
    os.chown(own.work_directory, 10006, 10006)
    history.append(own, "restore", ok=True)
    assert history.path(own).stat().st_uid == 10006


def test_points_are_lost_unless_retention_removed_them(
    own: Settings, point: Callable[..., Point]
) -> None:
    for name in ("a", "b", "c"):
        history.append(own, "run", ok=True, point=name)
    history.append(own, "run", ok=False, reason="x")
    history.append(own, "removed", ok=True, removed=["a"])
    assert points.lost(own, []) == ["b", "c"]


def test_a_point_is_verified_by_the_newest_proof_of_it(own: Settings) -> None:
    assert status.verified(own, "a") is None
    history.append(own, "verify", ok=True, point="a")
    history.append(own, "drill", ok=False, point="a", key="escrow")
    found = status.verified(own, "a")
    assert found is not None
    assert (found["ok"], found["what"]) == (False, "drill with the key's escrowed copy")


def test_the_release_is_the_last_one_that_was_done(own: Settings) -> None:
    assert state.release(own.state_directory) == {}
    own.state_directory.mkdir()
    lines = [
        '{"result": "done", "version": "v1", "generation": 1, "holder": "x"}',
        '{"result": "failed", "version": "v2", "generation": 2}',
        '{"result": "do',
    ]
    (own.state_directory / "ledger.jsonl").write_text("\n".join(lines))
    assert state.release(own.state_directory) == {"version": "v1", "generation": 1}


def test_a_lock_says_who_holds_it_and_goes_with_its_holder(own: Settings) -> None:
    path = own.work_directory / "run.lock"
    assert lock.is_free(path)
    with lock.held(path, "takes a point"):
        assert not lock.is_free(path)
        with pytest.raises(Refused, match="takes a point"), lock.held(path, "too"):
            pass
    assert lock.is_free(path)


def test_whoever_looks_at_a_lock_keeps_nobody_from_it(own: Settings) -> None:
    path = own.work_directory / "run.lock"
    with lock.held(path, "makes the file"):
        pass
    with path.open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        gone = threading.Timer(0.05, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        gone.start()
        with lock.held(path, "takes a point"):
            assert not lock.is_free(path)
        gone.join()


def test_powers_are_read_from_the_kernels_words() -> None:
    assert privileges.effective("Name: x\nCapEff:\t0000000000000005\n") == {
        "chown",
        "dac_read_search",
    }
    command = privileges.become(["python3"], Path("/filter"))
    assert command[-2:] == ["--", "python3"]
    assert "--reuid=10006" in command


def test_progress_estimates_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert progress.estimate(0.5, 10) == 10
    assert progress.estimate(0, 10) is None
    told = progress.part(progress.to_stderr(), 0.5, 1.0)
    told(0.5, "copying")
    told(0.6, "copying")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["progress"] == 0.75


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list"], "backup_key is missing"),
        (["restore", "--data", "/nowhere/17"], "say either --point or --to"),
        (["export", "--point", "a", "--to", "file"], "exported to standard output"),
    ],
)
def test_what_is_refused_ends_with_2_and_a_sentence(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(privileges, "settle", lambda verb, words: None)
    monkeypatch.delenv("BACKUP_KEY", raising=False)
    assert cli.main(words) == 2
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_no_filter_of_calls_is_made_up_for_a_machine_that_is_not_known() -> None:
    assert len(privileges.no_handles("x86_64")) == len(privileges.no_handles("aarch64")) == 7 * 8
    with pytest.raises(Refused, match="riscv64"):
        privileges.no_handles("riscv64")


def test_what_the_system_refuses_is_a_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(privileges, "settle", lambda verb, words: None)
    monkeypatch.setenv("WORK_DIRECTORY", str(tmp_path / "file"))
    monkeypatch.setenv("BACKUP_KEY", "k" * 40)
    assert cli.main(["run"]) == 1
    assert "File exists" in json.loads(capsys.readouterr().out)["error"]


def test_a_run_that_the_database_ends_is_a_failed_one(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_words: object) -> None:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(taking, "_take", cut)
    with pytest.raises(Failed, match="the connection is lost"):
        taking.run(own)
    # Without this line the next try would come at once, and leave one more copy each time.
    line = history.read(own, "run")[-1]
    assert (line["ok"], line["reason"]) == (False, "the connection is lost")
    assert schedule.due(own.backup_policy, [line], history.now()) is None


def test_a_point_is_taken_also_where_nothing_could_be_removed(
    own: Settings, point: Callable[..., Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = SimpleNamespace(point=point(), snapshot=SimpleNamespace(added_bytes=1))
    made = SimpleNamespace(stored=stored, missed={}, damaged=False)
    monkeypatch.setattr(taking, "_take", lambda *_words: made)

    def away(_settings: Settings) -> None:
        raise Failed("the second repository is away")

    monkeypatch.setattr(retention, "apply", away)
    assert taking.run(own).stored.point.id == point().id
    said = "what is over the number that is kept is still there: the second repository is away"
    assert said in status.summary(own)["problems"]
    monkeypatch.setattr(retention, "apply", lambda _settings: [])
    taking.run(own)
    assert said not in status.summary(own)["problems"]


def test_nothing_is_removed_while_a_repository_is_read(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.repository_directory.mkdir()
    own.reading.touch()
    looked: list[int] = []
    monkeypatch.setattr(repositories, "all_of", lambda _settings: looked.append(1) or ())

    def verified(*_words: Any, **_named: Any) -> dict[str, Any]:
        assert retention.apply(own) == []
        assert looked == []
        return {"ok": True}

    monkeypatch.setattr(verifying, "run", verified)
    assert cli.answer_to(cli.parser().parse_args(["verify"]), own) == {"verified": {"ok": True}}
    assert retention.apply(own) == []
    assert looked == [1]


def test_who_reads_waits_until_what_goes_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "reading.lock"
    order: list[str] = []

    def read() -> None:
        with lock.shared(path):
            order.append("read")

    with lock.alone(path) as unread:
        assert unread
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.1)
        order.append("gone")
    reader.join()
    assert order == ["gone", "read"]


def test_a_repository_that_nobody_changes_is_read_without_a_lock(tmp_path: Path) -> None:
    with lock.shared(tmp_path / "nowhere" / "reading.lock"):
        assert not (tmp_path / "nowhere").exists()


def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(privileges, "settle", lambda verb, words: None)
    monkeypatch.setenv("BACKUP_POLICY", '{"hourly": "x"}')
    assert cli.main(["list"]) == 2
    assert "BACKUP_POLICY.HOURLY" in json.loads(capsys.readouterr().out)["error"]


def test_damaged_pages_in_a_copy_are_told_until_a_copy_has_none(
    own: Settings, point: Callable[..., Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = SimpleNamespace(point=point(), snapshot=SimpleNamespace(added_bytes=1))
    monkeypatch.setattr(retention, "apply", lambda _settings: [])
    for damaged in (True, False):
        made = taking.Taken(cast("Stored", stored), {}, damaged)
        monkeypatch.setattr(taking, "_take", lambda *_words, made=made: made)
        taking.run(own)
        problems = status.summary(own)["problems"]
        assert any("wrong checksum" in each for each in problems) is damaged


def test_no_point_is_taken_without_the_files_that_belong_to_it(own: Settings) -> None:
    own.state_directory.mkdir()
    with pytest.raises(Failed, match="files is not there"):
        taking.run(own)
    assert history.read(own, "run")[-1]["ok"] is False
