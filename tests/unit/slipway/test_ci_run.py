""".ci/run runs its phases in order, and whatever happens no process of it is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from slipway.config.layout import checkout

# Waits for INT as a test run does that takes its server down; the server has left the group.
SERVING = """
setsid --fork sh -c 'echo $$ > server; exec sleep 300'
until [ -s server ]; do :; done
trap 'kill "$(cat server)"; echo taken down > end; exit 130' INT
echo $$ > ready.new; mv ready.new ready
while :; do sleep 0.05; done
"""
LEAVING = "setsid --fork sh -c 'echo $$ > server; exec sleep 300'; until [ -s server ]; do :; done"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout in which each phase is a script that writes down its name."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(checkout().root / ".ci/run", tmp_path / ".ci")
    for name in ("setup.sh", ".venv/bin/nox", ".venv/bin/invoke"):
        program(tmp_path / name)
    return tmp_path


def program(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> calls\n{text}\n', encoding="utf-8")
    path.chmod(0o755)


def start(tree: Path, *phases: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (str(tree / ".ci/run"), *phases),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(run: subprocess.Popen[str]) -> str:
    """What a run printed until its end; everything that it started has closed its output."""
    output, _ = run.communicate(timeout=60)
    return output


def lives(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_phases_run_in_order_and_an_engine_that_was_started_is_stopped(tree: Path) -> None:
    run = start(tree, "setup", "nox", "host.prepare", "e2e")
    output = ended(run)
    assert run.returncode == 0, output
    assert (tree / "calls").read_text().splitlines() == [
        "setup.sh ",
        "nox ",
        "invoke host.prepare",
        "nox -s e2e",
        "invoke host.stop",
    ]
    assert "exit code 0" in output


def test_an_engine_that_no_phase_prepared_is_left_alone(tree: Path) -> None:
    ended(start(tree, "e2e"))
    assert (tree / "calls").read_text() == "nox -s e2e\n"


def test_a_failing_phase_is_the_last_and_its_exit_code_is_the_answer(tree: Path) -> None:
    program(tree / ".venv/bin/nox", "exit 7")
    run = start(tree, "nox", "host.prepare")
    assert "nox " in ended(run)
    assert run.returncode == 7
    assert (tree / "calls").read_text() == "nox \n"


def test_a_phase_that_there_is_not_is_refused_before_the_first(tree: Path) -> None:
    run = start(tree, "setup", "deploy")
    assert "no phase deploy" in ended(run)
    assert run.returncode == 2
    assert not (tree / "calls").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_phase_takes_its_server_down(sent: signal.Signals, tree: Path) -> None:
    program(tree / ".venv/bin/nox", SERVING)
    run = start(tree, "nox")
    while not (tree / "ready").exists():
        os.sched_yield()
    run.send_signal(sent)
    output = ended(run)
    assert run.returncode == 128 + sent, output
    assert (tree / "end").read_text() == "taken down\n"
    assert "was left" not in output
    assert not lives(int((tree / "server").read_text()))


def test_a_run_that_was_started_deaf_to_interrupts_still_interrupts_its_phases(tree: Path) -> None:
    program(tree / ".venv/bin/nox", SERVING)
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = start(tree, "nox")
    finally:
        signal.signal(signal.SIGINT, heard)
    while not (tree / "ready").exists():
        os.sched_yield()
    run.terminate()
    ended(run)
    assert (tree / "end").read_text() == "taken down\n"


def test_a_process_that_a_phase_leaves_is_ended_and_named(tree: Path) -> None:
    program(tree / ".venv/bin/nox", LEAVING)
    run = start(tree, "nox")
    output = ended(run)
    server = int((tree / "server").read_text())
    assert f"process {server} (sleep) was left" in output
    assert not lives(server)


def test_a_phase_that_takes_too_long_is_ended_and_named(tree: Path) -> None:
    script, limits = re.subn(r"\[nox]=\d+", "[nox]=0", (tree / ".ci/run").read_text())
    # The limit begins when the phase serves: an interrupt in the moment of a fork is lost.
    serving = "until [ -e ready ]; do sleep 0.05; done; "
    script, alarms = re.subn(r'(?=sleep "\$\{minutes)', serving, script)
    assert (limits, alarms) == (1, 1)
    (tree / ".ci/run").write_text(script)
    program(tree / ".venv/bin/nox", SERVING)
    run = start(tree, "nox")
    assert "nox took longer than 0 minutes" in ended(run)
    assert run.returncode == 124
    assert (tree / "end").read_text() == "taken down\n"
