"""The floors: what the same work costs with nothing around it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy
import onnxruntime
from numpy.typing import NDArray
from performance.load import Outcome
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from tokenizers import Tokenizer

from slipway_backend.access import Identity
from slipway_backend.database import START_UP_SETTINGS, Pool, make_pool
from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.folder import MODEL_FILE, TOKENIZER_FILE
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.metrics import Metrics
from slipway_backend.search import Searcher
from slipway_backend.settings import Settings


@dataclass(frozen=True)
class Statement:
    """One question's search statement, as Slipway sends it."""

    text: str
    values: dict[str, Any]


class _Recording:
    """A pool whose connections remember what is executed on them."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.seen: list[Statement] = []

    @asynccontextmanager
    async def connection(self, *given: Any, **named: Any) -> AsyncIterator[Any]:
        async with self._pool.connection(*given, **named) as connection:
            execute = connection.execute

            async def remember(text: Any, values: Any = None, **options: Any) -> Any:
                if isinstance(values, dict) and "vector" in values:
                    self.seen.append(Statement(str(text), dict(values)))
                return await execute(text, values, **options)

            connection.execute = remember
            try:
                yield connection
            finally:
                del connection.execute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


async def record(
    settings: Settings, embedder: BuiltinEmbedder, questions: Sequence[str], user_id: UUID
) -> list[Statement]:
    """Run Slipway's own search for each question; return the search statements that it sent."""
    identity = Identity(user_id, "admin", "admin")
    async with make_pool(settings.database_url, size=2) as pool:
        sets = EmbeddingSets(settings, pool, embedder)
        async with sets.followed():
            recording = _Recording(pool)
            searcher = Searcher(cast("Pool", recording), sets, Metrics())
            for question in questions:
                await searcher.search(question, identity=identity)
    return recording.seen


async def search_floor(
    url: str,
    statements: Sequence[Statement],
    *,
    clients: int,
    seconds: float,
    database_cpu_seconds: Callable[[], float],
    embed: Callable[[int], object] | None = None,
) -> Outcome:
    """The bare statement (with `embed`: after a bare embedding in a thread), as `clients` tasks.

    Its processor time is that of this process and of PostgreSQL.
    """
    options = " ".join(f"-c {name}={value}" for name, value in START_UP_SETTINGS.items())
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
        url, min_size=8, max_size=8, kwargs={"options": options, "autocommit": True}, open=False
    )
    async with pool:
        with ThreadPoolExecutor(2) as threads:
            for statement in statements[:20]:
                async with pool.connection() as connection:
                    await connection.execute(statement.text, statement.values)
            before = time.process_time() + database_cpu_seconds()
            started = time.perf_counter()
            until = started + seconds

            async def one(number: int) -> None:
                place = number * 97
                while time.perf_counter() < until:
                    sent = time.perf_counter()
                    if embed is not None:
                        await loop.run_in_executor(threads, embed, place)
                    statement = statements[place % len(statements)]
                    async with pool.connection() as connection:
                        cursor = await connection.execute(statement.text, statement.values)
                        await cursor.fetchall()
                    outcome.latencies.append(time.perf_counter() - sent)
                    place += clients

            await asyncio.gather(*(one(number) for number in range(clients)))
            outcome.seconds = time.perf_counter() - started
            outcome.cpu_seconds = time.process_time() + database_cpu_seconds() - before
    return outcome


class _Bare:
    """The tokenizer and a bare runtime, with no code of Slipway's around them."""

    def __init__(self, model: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(model / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(256)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def run(self, batch: Sequence[Sequence[int]]) -> NDArray[numpy.float32]:
        """The vectors of one batch, padded to its longest text."""
        raise NotImplementedError


class BareSession(_Bare):
    """ONNX Runtime, each call in its caller's thread."""

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model / MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )

    def run(self, batch: Sequence[Sequence[int]]) -> NDArray[numpy.float32]:
        """The vectors of one batch, padded to its longest text."""
        identifiers, mask = padded(batch)
        outputs = self._session.run(None, {"input_ids": identifiers, "attention_mask": mask})
        vectors: NDArray[numpy.float32] = outputs[0]
        return vectors


class BareOpenVino(_Bare):
    """OpenVINO, two streams of one thread, not pinned. Raises ImportError without it."""

    def __init__(self, model: Path, precision: str = "f32") -> None:
        import openvino as runtime

        super().__init__(model)
        self._compiled = runtime.Core().compile_model(
            str(model / MODEL_FILE),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                # Of use to the int8 graph alone, whose blocks have this size.
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64,
                "ENABLE_CPU_PINNING": False,
                "NUM_STREAMS": 2,
                "INFERENCE_NUM_THREADS": 2,
            },
        )
        self._local = threading.local()

    def run(self, batch: Sequence[Sequence[int]]) -> NDArray[numpy.float32]:
        """The vectors of one batch, padded to its longest text."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        identifiers, mask = padded(batch)
        outputs = self._local.request.infer({"input_ids": identifiers, "attention_mask": mask})
        vectors: NDArray[numpy.float32] = outputs[0].copy()
        return vectors


def padded(
    batch: Sequence[Sequence[int]],
) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Token numbers and mask of a batch, as the model takes them."""
    longest = max(len(tokens) for tokens in batch)
    identifiers = numpy.zeros((len(batch), longest), dtype=numpy.int64)
    mask = numpy.zeros_like(identifiers)
    for row, tokens in enumerate(batch):
        identifiers[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return identifiers, mask
