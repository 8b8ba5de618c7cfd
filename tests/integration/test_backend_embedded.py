"""The laptop's command and the release step, as real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from slipway_backend import migrate as migration
from slipway_backend.errors import StartRefused
from slipway_backend.settings import Settings

SAMPLES = Path(__file__).parents[2] / "samples"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def worker_of(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children():
            if child.cmdline()[-1:] == ["worker"]:
                return child
    return None


def test_one_command_answers_questions_survives_its_workers_death_and_stops_whole(
    model_directory: Path, eventually: Callable[..., None]
) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="slipway-embedded-") as folder:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "slipway_backend", "--embedded"),
                *("--data", folder, "--port", str(port)),
            ],
            env=os.environ | {"MODEL_DIRECTORY": str(model_directory), "STALLED_SECONDS": "2"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                use(client, process, Path(folder), eventually)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                for left in psutil.Process(process.pid).children(recursive=True):
                    left.kill()
                process.kill()
        assert process.returncode == 0
        assert f"http://127.0.0.1:{port}" in errors.decode()
        password = (Path(folder) / "secrets" / "admin_password").read_text().strip()
        assert password not in errors.decode()
        assert not (Path(folder) / "postgres" / "postmaster.pid").exists()


def use(
    client: httpx.Client,
    process: subprocess.Popen[bytes],
    folder: Path,
    eventually: Callable[..., None],
) -> None:
    def is_ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return client.get("/health/ready").status_code == 200
        return False

    eventually(is_ready, "the start")
    password = (folder / "secrets" / "admin_password").read_text().strip()
    login = client.post("/v1/login", json={"username": "admin", "password": password})
    client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"

    eventually(lambda: worker_of(process) is not None, "the worker's start")
    killed = worker_of(process)
    assert killed is not None
    killed.kill()
    content = (SAMPLES / "incident-report.md").read_bytes()
    document = client.post("/v1/documents", files={"file": ("incident-report.md", content)}).json()
    eventually(
        lambda: client.get(f"/v1/documents/{document['id']}").json()["status"] == "ready",
        "ingestion by another worker",
    )
    question = {"question": "Who was the incident lead during the outage?"}
    answer = client.post("/v1/query", json=question).json()
    assert answer["citations"][0]["document_id"] == document["id"]


def test_a_migration_of_an_unreachable_database_is_refused_in_one_sentence() -> None:
    settings = Settings(
        database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        admin_password="an admin password",
    )
    with pytest.raises(StartRefused, match=r"cannot be used .*DATABASE_URL"):
        migration.migrate(settings)


def test_a_migration_does_not_wait_for_ever_behind_a_lock(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "LOCK_TIMEOUT", "100ms")
    with psycopg.connect(settings.database_url) as holder:
        holder.execute("LOCK TABLE queue_migrations IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StartRefused, match="stayed locked for 100ms"):
            migration.migrate(settings)
    migration.migrate(settings)


def test_only_queue_migrations_that_are_new_are_applied_to_an_existing_queue(
    settings: Settings,
) -> None:
    newest = "03.04.00_50_post_add_retry_failed_job_procedure.sql"
    function = "procrastinate_trigger_function_status_events_update_v1"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM queue_migrations WHERE name = %s", [newest])
        connection.execute(f"DROP FUNCTION {function} CASCADE".encode())
    migration.migrate(settings.model_copy(update={"release": "the next one"}))
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute("SELECT to_regproc(%s)", [function]).fetchone()
    assert row is not None
    assert row[0] is not None
