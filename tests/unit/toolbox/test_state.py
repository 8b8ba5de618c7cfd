"""The promises of the state volume: one release at a time, a history that shows tampering."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from slipway_toolbox import host, lease, ledger, vault
from slipway_toolbox.__main__ import main
from slipway_toolbox.store import Denied, append_line, read_json, read_lines, write


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def taken(state: Path, *, now: float = 1000.0) -> int:
    held = lease.acquire(state, holder="anna@desk", purpose="release 1", seconds=60, now=now)
    fence = held["fence"]
    assert isinstance(fence, int)
    return fence


class TestLease:
    def test_a_second_release_is_denied_and_told_who_holds_the_lease(self, state: Path) -> None:
        taken(state)
        with pytest.raises(Denied) as denied:
            lease.acquire(state, holder="ben@ci", purpose="release 2", seconds=60, now=1010)
        assert denied.value.details["lease"]["holder"] == "anna@desk"
        assert denied.value.details["seconds_left"] == 50

    def test_a_dead_holder_blocks_nobody_after_the_expiry(self, state: Path) -> None:
        first = taken(state)
        held = lease.acquire(state, holder="ben@ci", purpose="release 2", seconds=60, now=1061)
        assert held["fence"] == first + 1

    def test_a_late_holder_can_no_longer_write(self, state: Path) -> None:
        late = taken(state)
        lease.acquire(state, holder="ben@ci", purpose="release 2", seconds=60, now=1061)
        with pytest.raises(Denied, match="went to somebody else"):
            ledger.journal(state, fence=late, entry={"step": "switch"}, now=1062)
        with pytest.raises(Denied, match="went to somebody else"):
            ledger.append(state, fence=late, entry={"result": "done"}, now=1062)
        with pytest.raises(Denied, match="went to somebody else"):
            lease.renew(state, fence=late, seconds=60, now=1062)

    def test_an_expired_lease_writes_nothing_even_if_nobody_took_it(self, state: Path) -> None:
        late = taken(state)
        with pytest.raises(Denied, match="expired"):
            ledger.append(state, fence=late, entry={}, now=1061)

    def test_a_renewed_lease_lasts_longer(self, state: Path) -> None:
        fence = taken(state)
        lease.renew(state, fence=fence, seconds=60, now=1050)
        assert lease.check(state, fence=fence, now=1100)["holder"] == "anna@desk"

    def test_a_lease_given_back_is_free_at_once(self, state: Path) -> None:
        fence = taken(state)
        lease.release(state, fence=fence, now=1001)
        assert taken(state, now=1002) == fence + 1

    def test_giving_back_does_not_end_the_lease_of_another(self, state: Path) -> None:
        late = taken(state)
        current = taken(state, now=1061)
        lease.release(state, fence=late, now=1062)
        assert lease.check(state, fence=current, now=1063)["fence"] == current


def appended(state: Path, lines: int) -> int:
    """Write so many lines; returns the fencing number of the lease that is held."""
    fence = taken(state)
    for number in range(lines):
        ledger.append(state, fence=fence, entry={"generation": number}, now=1001 + number)
    return fence


def power_fails(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let the machine go down when the ledger calls `name` for the last time in an append."""
    done = getattr(ledger, name)
    calls = iter([done] if name == "write" else [])

    def broken(*arguments: Any, **options: Any) -> Any:
        call = next(calls, None)
        if call is None:
            raise OSError("the power is gone")
        return call(*arguments, **options)

    patch.setattr(ledger, name, broken)


class TestLedger:
    def test_a_note_needs_no_lease_and_leaves_the_release_under_way_its_journal(
        self, state: Path
    ) -> None:
        fence = taken(state)
        ledger.journal(state, fence=fence, entry={"step": "switch"}, now=1001)
        line = ledger.note(state, entry={"kind": "maintenance", "result": "on"}, now=1002)
        assert (line["number"], line["result"]) == (1, "on")
        assert ledger.append(state, fence=fence, entry={}, now=1003)["previous"] == line["hash"]
        assert ledger.altered(state) is None

    def test_lines_are_numbered_and_chained(self, state: Path) -> None:
        fence = taken(state)
        first = ledger.append(state, fence=fence, entry={"result": "done"}, now=1001)
        second = ledger.append(state, fence=fence, entry={"result": "failed"}, now=1002)
        assert (first["number"], second["number"]) == (1, 2)
        assert second["previous"] == first["hash"]
        assert ledger.altered(state) is None

    @pytest.mark.parametrize("line", [0, 1, 2])
    def test_the_first_altered_line_is_named(self, state: Path, line: int) -> None:
        fence = taken(state)
        for number in range(3):
            ledger.append(state, fence=fence, entry={"generation": number}, now=1001 + number)
        path = state / "ledger.jsonl"
        lines = path.read_text().splitlines()
        lines[line] = lines[line].replace(f'"generation":{line}', '"generation":9')
        path.write_text("\n".join(lines) + "\n")
        assert ledger.altered(state) == line + 1

    def test_a_removed_line_is_noticed(self, state: Path) -> None:
        fence = taken(state)
        for number in range(3):
            ledger.append(state, fence=fence, entry={"generation": number}, now=1001 + number)
        path = state / "ledger.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text(lines[0] + lines[2])
        assert ledger.altered(state) == 2

    def test_lines_removed_at_the_end_are_noticed_and_stay_so(self, state: Path) -> None:
        fence = taken(state)
        for number in range(3):
            ledger.append(state, fence=fence, entry={"generation": number}, now=1001 + number)
        path = state / "ledger.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
        assert ledger.altered(state) == 2
        ledger.append(state, fence=fence, entry={"generation": 3}, now=1010)
        assert ledger.altered(state) == 2
        assert [line["generation"] for line in ledger.read(state)] == [0, 3]

    @pytest.mark.parametrize("before", [0, 2])
    @pytest.mark.parametrize("crash", ["append_line", "write"])
    def test_a_crash_beside_a_line_is_no_alteration_also_when_there_was_one_before(
        self, state: Path, monkeypatch: pytest.MonkeyPatch, crash: str, before: int
    ) -> None:
        """Before the line, or between it and the head."""
        fence = appended(state, before)
        for _ in range(2):
            with monkeypatch.context() as patch:
                power_fails(patch, crash)
                with pytest.raises(OSError, match="power"):
                    ledger.append(state, fence=fence, entry={"generation": 9}, now=1010)
            assert ledger.altered(state) is None
        ledger.append(state, fence=fence, entry={"generation": 10}, now=1011)
        assert ledger.altered(state) is None

    @pytest.mark.parametrize("left", [1, 2, 3])
    def test_lines_removed_at_the_end_together_with_the_head_are_noticed_and_stay_so(
        self, state: Path, left: int
    ) -> None:
        fence = appended(state, 3)
        path = state / "ledger.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:left]))
        (state / "head.json").unlink()
        assert ledger.altered(state) == left + 1
        ledger.append(state, fence=fence, entry={"generation": 3}, now=1010)
        assert ledger.altered(state) == left + 1

    @pytest.mark.parametrize("forged", [1, 2, 5])
    def test_lines_added_at_the_end_are_noticed_and_stay_so(self, state: Path, forged: int) -> None:
        fence = appended(state, 3)
        for number in range(4, 4 + forged):
            previous = ledger.read(state)[-1]["hash"]
            line: dict[str, Any] = {"number": number, "result": "done", "previous": previous}
            append_line(state / "ledger.jsonl", {**line, "hash": ledger.hash_of(line)})
        assert ledger.altered(state) == 4
        ledger.append(state, fence=fence, entry={"generation": 4}, now=1010)
        assert ledger.altered(state) == 4

    @pytest.mark.parametrize("left", [1, 2])
    def test_a_crash_hides_no_alteration(
        self, state: Path, monkeypatch: pytest.MonkeyPatch, left: int
    ) -> None:
        fence = appended(state, 3)
        path = state / "ledger.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:left]))
        power_fails(monkeypatch, "append_line")
        with pytest.raises(OSError, match="power"):
            ledger.append(state, fence=fence, entry={"generation": 9}, now=1010)
        assert ledger.altered(state) == left + 1

    @pytest.mark.parametrize("broken", ["no JSON at all", "[]", '{"generation": 2}'])
    def test_a_line_made_unreadable_is_named_and_stops_nobody(
        self, state: Path, broken: str
    ) -> None:
        fence = taken(state)
        for number in range(3):
            ledger.append(state, fence=fence, entry={"generation": number}, now=1001 + number)
        path = state / "ledger.jsonl"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], broken, lines[2]]) + "\n")
        assert ledger.altered(state) == 2
        assert [line["generation"] for line in ledger.read(state)] == [0, 2]
        ledger.append(state, fence=fence, entry={"generation": 4}, now=1010)
        assert ledger.altered(state) == 2

    def test_committing_closes_the_journal(self, state: Path) -> None:
        fence = taken(state)
        ledger.journal(state, fence=fence, entry={"step": "switch", "done": False}, now=1001)
        assert [line["step"] for line in read_lines(state / "journal.jsonl")] == ["switch"]
        ledger.append(state, fence=fence, entry={"result": "done"}, now=1002)
        assert read_lines(state / "journal.jsonl") == []

    def test_a_line_cut_short_by_a_crash_harms_neither_reading_nor_writing(
        self, state: Path
    ) -> None:
        fence = taken(state)
        ledger.append(state, fence=fence, entry={"generation": 1}, now=1001)
        with (state / "ledger.jsonl").open("ab") as stream:
            stream.write(b'{"generation": 2, "ti')
        assert len(read_lines(state / "ledger.jsonl")) == 1
        ledger.append(state, fence=fence, entry={"generation": 3}, now=1002)
        assert [line["generation"] for line in read_lines(state / "ledger.jsonl")] == [1, 3]
        assert ledger.altered(state) is None


class TestSecrets:
    def test_an_existing_secret_is_never_replaced_by_a_generated_one(self, state: Path) -> None:
        assert vault.put(state, {"jwt_secret": "first"}, replace=False) == ["jwt_secret"]
        assert vault.put(state, {"jwt_secret": "second"}, replace=False) == []
        assert vault.get(state, ["jwt_secret", "absent"]) == {"jwt_secret": "first"}

    def test_a_fingerprint_changes_with_the_secret_and_does_not_contain_it(
        self, state: Path
    ) -> None:
        vault.put(state, {"jwt_secret": "first"}, replace=False)
        before = vault.fingerprints(state)["jwt_secret"]
        assert vault.fingerprints(state)["jwt_secret"] == before
        vault.put(state, {"jwt_secret": "second"}, replace=True)
        after = vault.fingerprints(state)["jwt_secret"]
        assert before != after
        assert "second" not in after

    def test_secrets_are_readable_by_their_owner_alone(self, state: Path) -> None:
        vault.put(state, {"jwt_secret": "first"}, replace=False)
        assert (state / "secrets" / "jwt_secret").stat().st_mode & 0o077 == 0

    def test_handing_out_writes_what_changed_and_removes_what_went(
        self, state: Path, tmp_path: Path
    ) -> None:
        volumes = tmp_path / "volumes"
        (volumes / "backend").mkdir(parents=True)
        user = os.getuid()
        files = {"jwt_secret": "one", "database_url": "two"}
        content: dict[str, dict[str, Any]] = {"backend": {"user": user, "files": files}}
        assert vault.hand_out(state, volumes, content) == [
            "backend/database_url",
            "backend/jwt_secret",
        ]
        assert vault.hand_out(state, volumes, content) == []
        content["backend"]["files"] = {"jwt_secret": "three"}
        assert vault.hand_out(state, volumes, content) == [
            "backend/jwt_secret",
            "backend/database_url",
        ]
        handed = volumes / "backend" / "jwt_secret"
        assert handed.read_text() == "three"
        assert handed.stat().st_mode & 0o777 == 0o400

    def test_a_secret_that_changed_since_it_was_handed_out_shows(self, state: Path) -> None:
        vault.put(state, {"jwt_secret": "first"}, replace=False)
        vault.hand_out(state, state / "volumes", {})
        handed = read_json(state / "handed.json")
        assert handed == vault.fingerprints(state)
        vault.put(state, {"jwt_secret": "second"}, replace=True)
        assert handed != vault.fingerprints(state)

    def test_what_was_handed_out_is_taken_back_until_a_release_is_settled(
        self, state: Path, tmp_path: Path
    ) -> None:
        volumes = tmp_path / "volumes"
        (volumes / "backend").mkdir(parents=True)

        def hand_out(**files: str) -> None:
            vault.put(state, files, replace=True)
            vault.hand_out(state, volumes, {"backend": {"user": os.getuid(), "files": files}})

        hand_out(jwt_secret="one", database_url="two")
        assert vault.take_back(state, volumes) == []
        handed = read_json(state / "handed.json")
        hand_out(jwt_secret="three")
        # A release that was killed, and the one after it.
        hand_out(jwt_secret="four")
        assert vault.take_back(state, volumes) == ["backend/database_url", "backend/jwt_secret"]
        given = volumes / "backend" / "jwt_secret"
        assert given.read_text() == "one"
        assert given.stat().st_mode & 0o777 == 0o400
        assert read_json(state / "handed.json") == handed != vault.fingerprints(state)
        hand_out(jwt_secret="five")
        vault.settle(state)
        assert vault.take_back(state, volumes) == []

    def test_what_is_kept_to_be_taken_back_is_readable_by_its_owner_alone(
        self, state: Path
    ) -> None:
        for _ in range(2):
            vault.hand_out(state, state / "volumes", {})
        assert (state / vault.BEFORE).stat().st_mode & 0o077 == 0


class TestCommand:
    def ask(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        verb: str,
        request: dict[str, Any],
    ) -> tuple[int, Any]:
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
        code = main([verb])
        return code, json.loads(capsys.readouterr().out or "null")

    def test_a_release_from_acquire_to_commit(
        self,
        state: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("SLIPWAY_STATE", str(state))

        def ask(verb: str, request: dict[str, Any]) -> tuple[int, Any]:
            return self.ask(monkeypatch, capsys, verb, request)

        code, held = ask("acquire", {"holder": "anna", "purpose": "release", "seconds": 60})
        assert code == 0
        fence = held["fence"]
        put = {"values": {"jwt_secret": "x"}, "replace": False}
        code, denied = ask("acquire", {"holder": "ben", "purpose": "release", "seconds": 60})
        assert (code, denied["lease"]["holder"]) == (3, "anna")
        assert ask("put-secrets", {**put, "fence": fence})[0] == 0
        assert ask("put-secrets", {**put, "fence": fence + 1})[0] == 3
        assert ask("put-file", {"fence": fence, "path": "g1/app.json", "content": "{}"})[0] == 0
        assert (state / "rendered" / "g1" / "app.json").read_text() == "{}"
        assert ask("journal", {"fence": fence, "entry": {"step": "switch"}})[0] == 0
        assert ask("renew", {"fence": fence, "seconds": 60})[0] == 0
        _, before = ask("read", {})
        assert [line["step"] for line in before["journal"]] == ["switch"]
        (state / vault.BEFORE).write_text("{}")
        assert ask("commit", {"fence": fence + 1, "entry": {"result": "done"}})[0] == 3
        assert (state / vault.BEFORE).exists()
        assert ask("commit", {"fence": fence, "entry": {"result": "done"}})[0] == 0
        assert not (state / vault.BEFORE).exists()
        assert ask("release", {"fence": fence})[0] == 0
        _, after = ask("read", {})
        assert [line["result"] for line in after["ledger"]] == ["done"]
        assert after["journal"] == []
        assert list(after["secrets"]) == ["jwt_secret"]
        assert after["altered"] is None
        assert after["head"]["number"] == 1
        assert after["rendered"] == {"g1/app.json": {}}

    def test_a_rendered_configuration_cannot_leave_its_folder(
        self,
        state: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("SLIPWAY_STATE", str(state))
        request = {"fence": taken(state), "path": "../lease.json", "content": "{}"}
        code, answer = self.ask(monkeypatch, capsys, "put-file", request)
        assert code == 3
        assert "outside" in answer["denied"]

    def test_an_unknown_verb_is_named_with_those_there_are(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["remember"]) == 1
        assert "acquire" in capsys.readouterr().err

    def test_hold_ends_when_no_lease_is_held(
        self, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLIPWAY_STATE", str(state))
        taken(state, now=1000.0)
        assert main(["hold", "0.1"]) == 0


def test_writing_the_same_content_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    assert write(path, b"one") is True
    assert write(path, b"one") is False
    assert write(path, b"two") is True
    append_line(tmp_path / "lines", {"b": 1, "a": 2})
    assert (tmp_path / "lines").read_bytes() == b'{"a":2,"b":1}\n'


def test_the_host_is_described_by_its_disk_and_its_sockets(tmp_path: Path) -> None:
    net = tmp_path / "proc" / "net"
    net.mkdir(parents=True)
    (net / "tcp").write_text("four\n")
    (net / "tcp6").write_text("six\n")
    found = host.describe(tmp_path)
    assert found["sockets"] == "four\nsix\n"
    assert found["disk_free"] > 0
