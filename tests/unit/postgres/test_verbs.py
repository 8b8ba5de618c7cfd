"""What a release asks of a member, answered by a Patroni that is scripted here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway_postgres import __main__ as program
from slipway_postgres import api, verbs
from slipway_postgres.errors import MemberError
from slipway_postgres.settings import Settings

SETTINGS = Settings("postgres-2")
MEMBERS = [{"name": "postgres", "role": "leader"}, {"name": "postgres-2", "role": "sync_standby"}]


class Patroni:
    """Answers in the order of `answers`, by method and path; notes what it was sent."""

    def __init__(self, **answers: list[tuple[int, Any]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(
        self, settings: Settings, method: str, path: str, body: Any = None, *, seconds: float = 10
    ) -> tuple[int, str]:
        self.asked.append((method, path, body))
        known = self.answers[f"{method}_{path.strip('/')}".lower()]
        code, content = known.pop(0) if len(known) > 1 else known[0]
        return code, content if isinstance(content, str) else json.dumps(content)


@pytest.fixture
def patroni(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    shared = tmp_path / "shared.json"
    shared.write_text('{"ttl": 20}')
    monkeypatch.setattr(verbs, "SHARED_FILE", shared)
    monkeypatch.setattr(verbs, "POLL_SECONDS", 0)

    def script(**answers: list[tuple[int, Any]]) -> Patroni:
        made = Patroni(**answers)
        monkeypatch.setattr(api, "ask", made)
        return made

    return script


def test_status_is_the_cluster_and_its_mode(patroni: Any) -> None:
    patroni(
        get_cluster=[(200, {"members": MEMBERS})], get_config=[(200, {"synchronous_mode": True})]
    )
    assert verbs.status(SETTINGS) == {
        "member": "postgres-2",
        "cluster": {"members": MEMBERS},
        "synchronous": True,
    }


@pytest.mark.parametrize(
    ("own", "restarted"),
    [
        ({"role": "replica"}, False),
        ({"role": "replica", "pending_restart": True}, True),
        # Only a switchover may cost the primary its place.
        ({"role": "primary", "pending_restart": True}, False),
    ],
)
def test_settling_restarts_a_replica_that_waits_for_it(
    patroni: Any, own: dict[str, Any], restarted: bool
) -> None:
    asked = patroni(
        patch_config=[(200, {})], get_patroni=[(503, own)], post_restart=[(200, "done")]
    )
    assert verbs.settle(SETTINGS)["restarted"] is restarted
    assert asked.asked[0] == ("PATCH", "/config", {"ttl": 20})
    assert (asked.asked[-1][1] == "/restart") is restarted


def test_a_refused_setting_says_patronis_reason(patroni: Any) -> None:
    patroni(patch_config=[(409, "conflict")])
    with pytest.raises(MemberError, match=r"not taken \(409\): conflict"):
        verbs.settle(SETTINGS)


def test_a_switchover_names_both_sides(patroni: Any) -> None:
    after = [
        {"name": "postgres", "role": "replica"},
        {"name": "postgres-2", "role": "leader"},
    ]
    asked = patroni(
        get_cluster=[
            (200, {"members": MEMBERS}),
            # The place is given away and not taken yet.
            (200, {"members": after[:1]}),
            (200, {"members": after}),
        ],
        post_switchover=[(200, "ok")],
    )
    done = verbs.switchover(SETTINGS, "postgres-2")
    assert (done["from"], done["to"]) == ("postgres", "postgres-2")
    sent = {"leader": "postgres", "candidate": "postgres-2"}
    assert ("POST", "/switchover", sent) in asked.asked


def test_a_place_that_nobody_takes_is_told(patroni: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "TAKEN_SECONDS", 0)
    patroni(get_cluster=[(200, {"members": MEMBERS})], post_switchover=[(200, "ok")])
    with pytest.raises(MemberError, match="postgres gave its place away and nobody has taken it"):
        verbs.switchover(SETTINGS)


@pytest.mark.parametrize(
    ("members", "answer", "said"),
    [
        (MEMBERS[1:], (200, "ok"), "no primary to switch over from"),
        (MEMBERS, (412, "candidate is not synchronous"), r"refused \(412\): candidate is not"),
    ],
)
def test_a_switchover_that_cannot_be_says_why(
    patroni: Any, members: Any, answer: Any, said: str
) -> None:
    patroni(get_cluster=[(200, {"members": members})], post_switchover=[answer])
    with pytest.raises(MemberError, match=said):
        verbs.switchover(SETTINGS)


@pytest.mark.parametrize("code", [0, 2])
def test_roles_are_applied_by_psql_and_its_complaint_is_told(
    monkeypatch: pytest.MonkeyPatch, folder: Path, code: int
) -> None:
    def psql(argv: list[str], *, input: str, **_: Any) -> Any:
        assert argv[0] == "psql"
        assert "ALTER ROLE slipway_replication" in input
        return subprocess.CompletedProcess(argv, code, "", "ERROR: read-only\n")

    monkeypatch.setattr(subprocess, "run", psql)
    settings = Settings("postgres", secrets=folder)
    if code == 0:
        assert verbs.grant(settings) == {"member": "postgres", "roles": "applied"}
    else:
        with pytest.raises(MemberError, match="not applied: ERROR: read-only"):
            verbs.grant(settings)


def test_a_patroni_that_does_not_answer_is_named(folder: Path) -> None:
    with pytest.raises(MemberError, match="Patroni of postgres does not answer"):
        api.ask(Settings("postgres", secrets=folder), "GET", "/cluster")


class TestProgram:
    """The words of the command line."""

    def test_the_role_of_backups_is_printed_for_a_plain_server(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        monkeypatch.setenv("SECRETS_DIRECTORY", str(folder))
        monkeypatch.delenv("MEMBER", raising=False)
        assert program.main(["backup-role"]) == 0
        assert "ALTER ROLE slipway_backup LOGIN" in capsys.readouterr().out

    def test_the_role_of_monitoring_reads_figures_and_nothing_else(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        monkeypatch.setenv("SECRETS_DIRECTORY", str(folder))
        monkeypatch.delenv("MEMBER", raising=False)
        assert program.main(["monitor-role"]) == 0
        printed = capsys.readouterr().out
        assert "ALTER ROLE slipway_monitor LOGIN" in printed
        granted = [line for line in printed.splitlines() if line.startswith("GRANT")]
        assert granted == [
            "GRANT pg_monitor TO slipway_monitor",
            "GRANT CONNECT ON DATABASE slipway TO slipway_monitor",
        ]

    def test_an_unknown_verb_is_refused_with_those_there_are(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("MEMBER", "postgres")
        assert program.main(["dance"]) == 1
        assert (
            "'dance' is no verb: say run, tune, backup-role, monitor-role, status"
            in capsys.readouterr().err
        )

    def test_an_answer_is_one_line_of_json(
        self, patroni: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("MEMBER", "postgres")
        patroni(get_cluster=[(200, {"members": []})], get_config=[(200, {})])
        assert program.main(["status"]) == 0
        assert json.loads(capsys.readouterr().out)["cluster"] == {"members": []}

    def test_tuning_is_printed_as_a_servers_arguments(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert program.main(["tune", "-c", "max_connections=50"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[::2] == ["-c"] * (len(lines) // 2)
        assert any(line.startswith("shared_buffers=") for line in lines)

    def test_running_becomes_patroni_with_a_file_that_only_it_reads(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
    ) -> None:
        started: list[Any] = []
        monkeypatch.setattr(program, "SOCKETS", str(tmp_path))
        monkeypatch.setattr(program, "SHARED_FILE", tmp_path / "shared.json")
        monkeypatch.setattr(program.os, "execv", lambda *words: started.append(words))
        monkeypatch.setenv("MEMBER", "postgres-2")
        monkeypatch.setenv("SECRETS_DIRECTORY", str(folder))
        assert program.main(["run", "-c", "max_connections=50"]) == 0
        path = tmp_path / "patroni.json"
        assert started == [("/usr/bin/patroni", ["patroni", str(path)])]
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_text())["name"] == "postgres-2"
        shared = json.loads((tmp_path / "shared.json").read_text())
        assert shared["postgresql"]["parameters"]["max_connections"] == "50"
