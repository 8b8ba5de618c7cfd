"""The command line: JSON on standard output, and an exit code that says done or refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slipway_edge import cli

if TYPE_CHECKING:
    from conftest import Site


@pytest.fixture
def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line against the site."""
    monkeypatch.setenv("EDGE_RUN_DIRECTORY", str(site.folder))
    monkeypatch.setattr(cli, "AGENT_SECONDS", 0.2)
    return lambda *arguments: cli.main(arguments)


def test_a_switch_prints_the_acknowledgement(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 and the JSON a release reads."""
    backend = site.backend(2, "127.0.0.2")
    site.serve()
    assert run("switch", "2") == 0
    assert json.loads(capsys.readouterr().out)["addresses"] == [backend.address]


def test_a_refused_switch_prints_the_reason(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, the reason, and what serves on."""
    site.serve()
    assert run("switch", "9") == 1
    answer = json.loads(capsys.readouterr().out)
    assert "backend-g9 has no address" in answer["refused"]
    assert answer["generation"] is None


def test_a_candidate_prints_its_pass(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 and the JSON a release reads; a refusal has the form that a switch's has."""
    backend = site.backend(2, "127.0.0.2")
    site.serve()
    assert run("candidate", "2") == 0
    offered = json.loads(capsys.readouterr().out)
    assert (offered["addresses"], len(offered["pass"])) == ([backend.address], 32)
    assert site.nginx.candidate["pass"] == offered["pass"]
    assert run("candidate", "9") == 1
    assert "backend-g9 has no address" in json.loads(capsys.readouterr().out)["refused"]


def test_a_switch_without_an_agent_is_refused_in_the_same_form(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The caller need not tell a refusal from a missing agent by other means."""
    assert run("switch", "2") == 1
    assert "agent is not running" in json.loads(capsys.readouterr().out)["refused"]


def test_a_switch_waits_for_an_agent_that_is_being_started_again(
    site: Site,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dead agent is back within a second; the command does not fail meanwhile."""
    monkeypatch.setattr(cli, "AGENT_SECONDS", 10.0)
    site.backend(2, "127.0.0.2")
    timer = threading.Timer(0.2, site.serve)
    timer.start()
    assert run("switch", "2") == 0
    timer.join()
    assert json.loads(capsys.readouterr().out)["generation"] == 2


def test_a_switch_whose_agent_breaks_off_says_so(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is repeated blindly once the request was sent."""
    site.nginx.path.rename(site.folder / "agent.sock")
    assert run("switch", "2") == 1
    assert "broke off" in json.loads(capsys.readouterr().out)["refused"]


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "1000000000", "٣"])
def test_a_generation_is_a_number_from_one_on(
    run: Callable[..., int], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 before anything is asked."""
    with pytest.raises(SystemExit) as ended:
        run("switch", "--", text)
    assert ended.value.code == 2
    assert "a generation is a number from 1 on" in capsys.readouterr().err


def test_status_shows_addresses_readiness_and_counts(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Per address of the active generation, and summed over all."""
    one = site.backend(2, "127.0.0.2")
    two = site.backend(2, "127.0.0.3")
    site.serve()
    run("switch", "2")
    two.status = 503
    site.agent.round()
    site.nginx.in_flight = {
        "1": {"127.0.0.9:1": 4, "127.0.0.8:1": 0},
        "2": {one.address: 2},
    }
    capsys.readouterr()
    assert run("status") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["generation"] == 2
    assert status["addresses"] == [
        {
            "address": one.address,
            "serving": True,
            "ready": True,
            "in_flight": 2,
            "last_answer": "200",
        },
        {
            "address": two.address,
            "serving": False,
            "ready": False,
            "in_flight": 0,
            "last_answer": "503",
        },
    ]
    assert status["in_flight"] == {"127.0.0.9:1": 4, one.address: 2}
    assert status["in_flight_by_generation"] == {"1": 4, "2": 2}
    assert status["agent"]["running"] is True
    assert status["agent"]["rounds"] == 1


def test_status_without_an_agent_tells_what_nginx_serves(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The last good list goes on serving, and the status says who is missing."""
    site.nginx.peers = {"generation": 5, "ready": 1, "addresses": ["127.0.0.2:8000"]}
    assert run("status") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["generation"] == 5
    assert status["addresses"][0]["ready"] is None
    assert status["agent"]["running"] is False


def test_status_fails_when_nginx_does_not_answer(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """With an agent and without one."""
    site.nginx.status = 500
    assert run("status") == 1
    assert "NGINX answered GET /peers with 500" in capsys.readouterr().err
    site.serve()
    assert run("status") == 1
    assert "NGINX answered GET /peers with 500" in capsys.readouterr().out


def test_an_edge_that_drains_can_be_told_to_keep_its_connections_again(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be gone back to."""
    for words, draining in (((), True), (("off",), False), (("on",), True)):
        assert run("drain", *words) == 0
        assert json.loads(capsys.readouterr().out)["draining"] is draining
        assert site.nginx.drain == {"on": draining}


def test_maintenance_is_turned_on_shown_and_turned_off(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints the state as JSON; the pass is in it, and not in the status."""
    site.serve()
    assert run("maintenance", "on", "--message", "back at noon") == 0
    on = json.loads(capsys.readouterr().out)
    assert (on["on"], on["message"]) == (True, "back at noon")
    assert run("maintenance") == 0
    assert json.loads(capsys.readouterr().out) == on
    assert run("status") == 0
    assert on["pass"] not in capsys.readouterr().out
    assert run("maintenance", "off") == 0
    assert json.loads(capsys.readouterr().out) == {"on": False}
    assert run("maintenance", "on", "--message", "x" * 501) == 1
    assert "at most 500" in json.loads(capsys.readouterr().out)["refused"]


def test_status_tells_the_figures_that_nginx_counts(
    site: Site, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """With an agent and without one."""
    site.nginx.figures = {"3": {"requests": 5, "failed": 1, "busy": 0, "buckets": {"inf": 5}}}
    for serve in (lambda: None, site.serve):
        serve()
        assert run("status") == 0
        assert json.loads(capsys.readouterr().out)["figures"] == site.nginx.figures


def test_health_is_whether_nginx_answers(
    site: Site,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Exit 0, or 1 with one sentence."""
    assert run("health") == 0
    monkeypatch.setenv("EDGE_RUN_DIRECTORY", str(tmp_path / "elsewhere"))
    for command in ("health", "status"):
        assert run(command) == 1
        assert "NGINX does not answer" in capsys.readouterr().err


def test_the_agents_socket_knows_three_addresses(site: Site) -> None:
    """Anything else is 404; a round can be asked for at once."""
    from slipway_edge.unix import exchange

    site.serve()
    socket = site.folder / "agent.sock"
    assert exchange(socket, "POST", "/round")[0] == 202
    assert exchange(socket, "POST", "/switch/0")[0] == 404
    assert exchange(socket, "GET", "/")[0] == 404
    assert exchange(socket, "PUT", "/maintenance", {"on": True})[0] == 409


def test_the_agent_process_serves_and_ends_on_sigterm(site: Site) -> None:
    """The real process: generation from disk, one switch over its socket, a clean end."""
    backend = site.backend(1, "127.0.0.1")
    site.agent.switch(1)
    environment = {
        **os.environ,
        "EDGE_RUN_DIRECTORY": str(site.folder),
        "EDGE_STATE_DIRECTORY": str(site.folder),
        # A numeric name resolves without a name server: generation 1 is 127.0.0.1.
        "BACKEND_ALIAS_PREFIX": "127.0.0.",
        "BACKEND_PORT": str(backend.port),
    }
    command = [sys.executable, "-m", "slipway_edge"]
    agent = subprocess.Popen([*command, "agent"], env=environment, stderr=subprocess.PIPE)
    try:
        done = subprocess.run(
            [*command, "switch", "1"], env=environment, capture_output=True, check=False, timeout=30
        )
        assert json.loads(done.stdout)["addresses"] == [backend.address]
    finally:
        agent.send_signal(signal.SIGTERM)
        _, errors = agent.communicate(timeout=30)
    assert agent.returncode == 0
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert events[-1].startswith("switched: generation 1")
