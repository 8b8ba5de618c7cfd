"""`invoke host.check` is an answer for people, for programs and for scripts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from invoke import Collection, Program

from slipway import prepare as preparation
from slipway.facts import host as facts
from slipway.tasks import host as tasks

GIB = 1024**3
READY = facts.HostFacts(
    system=facts.System("debian", "13", "trixie", "Debian GNU/Linux 13", "x86_64", "6.12"),
    machine=facts.Machine(2, 8 * GIB, 40 * GIB, "/var/lib/docker"),
    root=True,
    systemd=True,
    tools=facts.Tools(
        client=True, dockerd=True, compose="5.0.1", buildx="0.30.1", mmdebstrap=True, ca_bundle=True
    ),
    engine=facts.Engine("29.1.0", storage="overlayfs"),
    base=True,
    registry=facts.Registry(answers=True, image=True, port_taken=False),
    mirror=None,
)


def found(monkeypatch: pytest.MonkeyPatch, value: facts.HostFacts) -> None:
    monkeypatch.setattr(facts, "read", lambda: value)


def test_a_ready_host_is_said_to_be_ready_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, READY)
    tasks.check.body(None)
    out = capsys.readouterr().out
    assert "missing" not in out
    assert "compose       ok       5.0.1" in out


def test_what_is_missing_is_one_message_that_names_the_next_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, replace(READY, base=False))
    with pytest.raises(SystemExit) as ended:
        Program(namespace=Collection(tasks)).run(["invoke", "host.check"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "Missing: the base image" in said
    assert "next: invoke host.prepare" in said


def test_json_holds_the_facts_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, READY)
    Program(namespace=Collection(tasks)).run(["invoke", "host.check", "--json"], exit=False)
    answer = json.loads(capsys.readouterr().out)
    assert answer["ready"] is True
    assert answer["missing"] == []
    assert answer["facts"]["engine"]["version"] == "29.1.0"


def test_prepare_ends_with_the_next_command_and_a_plan_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "prepare_host", lambda *_args, **_options: True)
    tasks.prepare.body(None)
    assert "Next: invoke release --env dev" in capsys.readouterr().out
    tasks.prepare.body(None, plan=True)
    assert "Next" not in capsys.readouterr().out


def test_stop_says_when_there_is_no_engine_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preparation, "STATE", tmp_path)
    tasks.stop.body(None)
    assert "nothing to do" in capsys.readouterr().out
