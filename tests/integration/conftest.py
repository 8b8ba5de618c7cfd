from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from oidc_provider import oidc_provider  # noqa: F401 - a fixture
from scripted_llm import language_model, scripted_llm  # noqa: F401 - fixtures

from slipway_backend.api.app import make_app, started
from slipway_backend.api.state import State
from slipway_backend.embedded import embedded_postgres
from slipway_backend.embedding import Embedder
from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.model import build_model
from slipway_backend.ingestion import Ingestion
from slipway_backend.migrate import migrate
from slipway_backend.parsing.sandbox import Parsers
from slipway_backend.queue import (
    LANES,
    add_ingestion,
    make_queue,
    open_queue,
    queues_of,
)
from slipway_backend.settings import Settings

PASSWORD = "an admin password for tests"
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of one real PostgreSQL with pgvector for the whole session."""
    # Not below pytest's folder: run by root, PostgreSQL has a user of its own, and every pytest
    # that starts closes that folder to others.
    with (
        tempfile.TemporaryDirectory(prefix="slipway-postgres-") as folder,
        embedded_postgres(Path(folder) / "data") as conninfo,
    ):
        yield conninfo


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = os.environ.get("SLIPWAY_MODEL_CACHE")
    directory = Path(cache) if cache else tmp_path_factory.mktemp("model")
    build_model(directory)
    return directory


@pytest.fixture(scope="session")
def embedder(model_directory: Path) -> Embedder:
    return BuiltinEmbedder(model_directory)


@contextmanager
def new_database(postgres: str, template: str = "template1") -> Iterator[str]:
    """The connection string of a new database on the shared server."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    yield psycopg.conninfo.make_conninfo(postgres, dbname=name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """The connection string of an empty database."""
    with new_database(postgres) as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def migrated(postgres: str) -> Iterator[str]:
    """The name of a database that was migrated once, to be copied."""
    with new_database(postgres) as conninfo:
        migrate(Settings(database_url=conninfo, admin_password=PASSWORD, release="test"))
        yield str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])


@pytest.fixture
def settings(
    postgres: str, migrated: str, model_directory: Path, tmp_path: Path
) -> Iterator[Settings]:
    """Settings of an instance on a migrated database of its own."""
    with new_database(postgres, migrated) as conninfo:
        yield settings_of(conninfo, model_directory, tmp_path)


def settings_of(conninfo: str, model_directory: Path, tmp_path: Path) -> Settings:
    return Settings(
        database_url=conninfo,
        jwt_secret="s" * 32,
        admin_password=PASSWORD,
        files_directory=tmp_path / "files",
        model_directory=model_directory,
        worker_heartbeat_file=tmp_path / "heartbeat",
        generation="7",
        release="test",
        stalled_seconds=2.0,
        drain_seconds=0.0,
    )


class Instance:
    """A running app with a logged-in client, and a worker that runs when it is told to."""

    def __init__(self, stack: AsyncExitStack, embedder: Embedder) -> None:
        self._stack = stack
        self._embedder = embedder
        self._started: Parsers | None = None
        self.state: State
        self.client: httpx.AsyncClient

    async def start(self, settings: Settings) -> None:
        self.state = await self._stack.enter_async_context(
            started(settings, load=lambda _: self._embedder)
        )
        transport = httpx.ASGITransport(make_app(self.state), raise_app_exceptions=False)
        self.client = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://slipway")
        )
        self.client.headers["Authorization"] = f"Bearer {await self.login()}"

    async def login(self, password: str = PASSWORD) -> str:
        response = await self.client.post(
            "/v1/login", json={"username": "admin", "password": password}
        )
        response.raise_for_status()
        return str(response.json()["access_token"])

    async def upload(self, name: str, content: bytes, **headers: str) -> httpx.Response:
        return await self.client.post(
            "/v1/documents", files={"file": (name, content)}, headers=headers
        )

    async def document(self, document_id: str) -> dict[str, object]:
        response = await self.client.get(f"/v1/documents/{document_id}")
        response.raise_for_status()
        return dict(response.json())

    async def wait_for(self, document_id: str, *statuses: str) -> None:
        """Wait until another process has brought the document to one of the statuses."""
        async with asyncio.timeout(120):
            while True:
                if (await self.document(document_id))["status"] in statuses:
                    return
                await asyncio.sleep(0.05)

    async def wait_until_ready(self) -> None:
        """Wait until this instance says that it is ready."""
        async with asyncio.timeout(30):
            while True:
                if (await self.client.get("/health/ready")).status_code == 200:
                    return
                await asyncio.sleep(0.1)

    async def work(self) -> None:
        """Do every job that is in the queue, then return."""
        state = self.state
        queue = make_queue()
        add_ingestion(
            queue,
            Ingestion(
                state.settings,
                state.pool,
                state.files,
                state.sets,
                state.metrics,
                await self._parsers(),
            ),
        )
        await open_queue(queue, state.pool)
        await queue.run_worker_async(
            queues=[name for lane in LANES for name in queues_of(lane)],
            wait=False,
            install_signal_handlers=False,
            listen_notify=False,
            delete_jobs="successful",
            shutdown_graceful_timeout=1.0,
        )

    async def _parsers(self) -> Parsers:
        if self._started is None:
            self._started = await self._stack.enter_async_context(Parsers())
        return self._started


@pytest.fixture
async def make_instance(
    embedder: Embedder,
    settings: Settings,
) -> AsyncIterator[Callable[[], Instance]]:
    async with AsyncExitStack() as stack:
        yield lambda: Instance(stack, embedder)


@pytest.fixture
async def instance(make_instance: Callable[[], Instance], settings: Settings) -> Instance:
    made = make_instance()
    await made.start(settings)
    return made


@pytest.fixture
def start_process(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `slipway-backend <command>` as a real process; whatever is left is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **extra: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            name.upper(): str(value) for name, value in settings.model_dump().items()
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "slipway_backend", *command],
            env=environment | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Poll another process's effect; fail with what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds:g} seconds")
        time.sleep(0.05)


@pytest.fixture
def eventually() -> Callable[..., None]:
    return wait_until
