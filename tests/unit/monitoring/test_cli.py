"""What a container of monitoring can be told to be."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from slipway_monitoring import cli, roles, server
from slipway_monitoring.console import releases
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.settings import Settings

Make = Callable[..., Settings]


def test_the_rules_are_written_for_promtool(tmp_path: Path) -> None:
    assert cli.main(["rules", str(tmp_path / "rules")]) == 0
    names = {path.name for path in (tmp_path / "rules").iterdir()}
    assert {"backup.yaml", "edge.yaml", "golden.yaml", "objectives.yaml"} <= names


def test_health_is_what_a_part_answers(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> object:
        raise MonitoringError("nothing")

    paths = {"/well": server.as_json(lambda: "well"), "/ill": server.as_json(broken)}
    with server.make("127.0.0.1", 0, paths) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{serving.server_address[1]}"
        assert cli.main(["health", f"{url}/well"]) == 0
        assert cli.main(["health", f"{url}/ill"]) == 1
        assert "answers 503" in capsys.readouterr().out
        serving.shutdown()
    assert cli.main(["health", url]) == 1
    assert "does not answer" in capsys.readouterr().out


def test_the_console_is_told_what_was_released(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO('[{"number": 1}]'))
    assert cli.main(["releases"]) == 0
    assert releases.read(tmp_path) == [{"number": 1}]
    monkeypatch.setattr(sys, "stdin", io.StringIO("no JSON"))
    assert cli.main(["releases"]) == 1
    assert "is no JSON" in capsys.readouterr().out


def test_who_cannot_begin_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("WORK_DIRECTORY", str(tmp_path / "work"))
    assert cli.main(["database"]) == 1
    assert "monitor_password is missing" in capsys.readouterr().out


def test_work_that_fails_ends_the_process(make: Make) -> None:
    def work(_stop: threading.Event) -> None:
        raise RuntimeError("as nobody expected")

    with pytest.raises(RuntimeError, match="as nobody expected"):
        roles.serve(make(host="127.0.0.1", port=0), {}, work)


def test_figures_are_served_while_work_is_done(make: Make, unused_port: int) -> None:
    def work(_stop: threading.Event) -> None:
        url = f"http://127.0.0.1:{unused_port}"
        assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "live"}
        assert httpx.get(f"{url}/metrics", trust_env=False).text == '"figures"'

    paths = {"/metrics": server.as_json(lambda: "figures")}
    roles.serve(make(host="127.0.0.1", port=unused_port), paths, work)
