from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from slipway_backend import probe
from slipway_backend.cli import main
from slipway_backend.embedded import ensure_model, ensure_secret
from slipway_backend.probe import serve_is_live, worker_is_live
from slipway_backend.settings import Settings


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


def test_no_command_shows_the_usage_and_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 2
    assert "give a command, or --embedded" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "worker", "migrate", "embeddings list", "users list"])
def test_a_command_without_its_settings_is_refused_in_one_sentence(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("DATABASE_URL", "JWT_SECRET", "ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_DIRECTORY", str(tmp_path))
    assert exit_code(*command.split()) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("slipway-backend: ")
    assert complaint.count("\n") == 1
    assert "Traceback" not in complaint


def test_a_worker_is_live_as_long_as_its_heartbeat_is_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = tmp_path / "beat"
    monkeypatch.setenv("WORKER_HEARTBEAT_FILE", str(beat))
    assert not worker_is_live()
    beat.touch()
    assert worker_is_live()
    os.utime(beat, (0, time.time() - 100))
    assert not worker_is_live()


class Live(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_the_probes_look_where_the_service_is_by_default() -> None:
    defaults = Settings.model_fields
    assert defaults["port"].default == probe.PORT
    assert str(defaults["worker_heartbeat_file"].default) == probe.HEARTBEAT_FILE


def test_a_probe_loads_nothing_that_takes_long() -> None:
    code = (
        "import sys\n"
        "from slipway_backend.cli import main\n"
        "try: main(['health', 'worker'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pydantic", "structlog", "asyncio"} & set(done.stdout.split())


def test_a_server_is_live_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Live) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("PORT", str(server.server_port))
        assert serve_is_live()
        thread.join()
    assert not serve_is_live()


def test_a_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "jwt_secret"
    made = ensure_secret(path)
    assert ensure_secret(path) == made
    assert len(made) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_missing_model_is_built_and_a_whole_one_is_kept(tmp_path: Path) -> None:
    ensure_model(tmp_path / "model")
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()}
    assert written
    ensure_model(tmp_path / "model")
    assert written == {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()
    }
