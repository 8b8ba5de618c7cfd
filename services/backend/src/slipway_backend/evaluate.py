"""`slipway-backend evaluate FOLDER`: search quality on a labelled set, in every mode.

The folder is laid out as samples/quality/README.md says. Everything happens in a PostgreSQL of its
own that goes when the command ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import get_args
from uuid import UUID, uuid4

import anyio.to_thread
from rich.console import Console
from rich.progress import track
from rich.table import Table

from slipway_backend import versions
from slipway_backend.access import Identity
from slipway_backend.chunking import HEADING_SEPARATOR, chunk_blocks
from slipway_backend.database import Pool, make_pool
from slipway_backend.embedded import embedded_postgres, ensure_model
from slipway_backend.embedding import Embedder
from slipway_backend.embedding.provider import load_embedder
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.errors import StartRefused
from slipway_backend.evaluation import Scores, score
from slipway_backend.metrics import Metrics
from slipway_backend.migrate import migrate
from slipway_backend.parsing import Limits
from slipway_backend.parsing.sandbox import Parsers
from slipway_backend.search import Mode, Passage, Searcher
from slipway_backend.settings import Settings

# A section counts once and may be several passages, so more are asked for than count.
PASSAGES = 50
MODES: tuple[Mode, ...] = get_args(Mode)
Section = tuple[str, str]


@dataclass(frozen=True)
class Labelled:
    """A question and how relevant each section is to it."""

    question: str
    kind: str
    labels: Mapping[Section, int]


def read_questions(path: Path) -> list[Labelled]:
    """Read the questions that have an answer; raise StartRefused where the file is not usable."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StartRefused(f"{path} cannot be read: {error.strerror}.") from None
    questions = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            labels = {
                (label["source"], label["heading"]): int(label["relevance"])
                for label in entry["relevant"]
            }
            if labels:
                questions.append(Labelled(entry["question"], entry["kind"], labels))
        except (ValueError, KeyError, TypeError):
            raise StartRefused(f"{path}, line {number}, is not a labelled question.") from None
    if not questions:
        raise StartRefused(f"{path} holds no question that has an answer.")
    return questions


def section_of(passage: Passage) -> Section:
    """The section that a passage is from, as labels name it."""
    return passage.source or passage.filename, passage.heading.split(HEADING_SEPARATOR)[-1]


def run_evaluation(settings: Settings, folder: Path) -> int:
    """Print the figures of a labelled set; return the exit code."""
    questions = read_questions(folder / "questions.jsonl")
    ensure_model(settings.model_directory)
    embedder = load_embedder(settings)
    with (
        tempfile.TemporaryDirectory(prefix="slipway-evaluate-") as scratch,
        embedded_postgres(Path(scratch) / "postgres") as database_url,
    ):
        own = settings.model_copy(
            update={"database_url": database_url, "admin_password": uuid4().hex}
        )
        migrate(own)
        rankings = asyncio.run(_rank(own, embedder, folder / "documents", questions))
    Console(file=sys.stdout).print(_table(questions, rankings))
    return 0


async def _rank(
    settings: Settings, embedder: Embedder, documents: Path, questions: Sequence[Labelled]
) -> dict[Mode, list[list[Section]]]:
    """The sections found for each question, by mode."""
    progress = Console(file=sys.stderr)
    async with make_pool(settings.require_database(), size=2, timeout=10.0) as pool:
        sets = EmbeddingSets(settings, pool, embedder)
        await sets.refresh()
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT id FROM users")
            row = await cursor.fetchone()
        if row is None:
            raise LookupError("migrate makes a user")
        files = await anyio.to_thread.run_sync(_files, documents)
        async with Parsers() as parsers:
            for path in track(files, "documents", console=progress):
                name = path.relative_to(documents)
                await _store(settings, pool, sets, parsers, path, name, row["id"])
        async with pool.connection() as connection:
            await connection.execute("ANALYZE")
        searcher = Searcher(pool, sets, Metrics())
        identity = Identity(row["id"], settings.admin_username, "admin")
        rankings: dict[Mode, list[list[Section]]] = {mode: [] for mode in MODES}
        for labelled in track(questions, "questions", console=progress):
            for mode in MODES:
                found = await searcher.find(
                    labelled.question, identity=identity, limit=PASSAGES, mode=mode
                )
                rankings[mode].append([section_of(passage) for passage in found.passages])
    return rankings


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def _store(
    settings: Settings,
    pool: Pool,
    sets: EmbeddingSets,
    parsers: Parsers,
    path: Path,
    name: Path,
    owner: UUID,
) -> None:
    """Parse, chunk, embed and serve one file as the worker does."""
    serving = await sets.serving()
    limits = Limits(
        memory_bytes=settings.parser_memory_bytes,
        seconds=settings.parser_seconds,
        expanded_bytes=settings.max_expanded_bytes,
        pages=settings.max_pages,
        text_characters=settings.max_text_characters,
    )
    parsed = await parsers.parse(path, path.name, limits)
    chunks = await anyio.to_thread.run_sync(
        lambda: chunk_blocks(
            parsed.blocks,
            serving.embedder.count_tokens_many,
            size=settings.chunk_tokens,
            overlap=settings.chunk_overlap_tokens,
        )
    )
    texts = [chunk.text_to_embed() for chunk in chunks]
    vectors = await anyio.to_thread.run_sync(serving.embedder.embed, texts)
    content = await anyio.to_thread.run_sync(path.read_bytes)
    version = versions.Version(uuid4(), 1, path.name, sha256(content).hexdigest(), len(content))
    passages = versions.Passages(
        parsed.media_type, parsed.pages, parsed.language, chunks, {serving.id: vectors}
    )
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO documents"
            " (id, owner_id, idempotency_key, filename, source, media_type, bytes, sha256)"
            " VALUES (%s, %s, %s, %s, %s, '', %s, %s)",
            [version.document_id, owner, str(version.document_id), version.filename,
             name.as_posix(), version.bytes, version.sha256],
        )  # fmt: skip
        await versions.serve(connection, version, passages, {})


def _table(
    questions: Sequence[Labelled], rankings: Mapping[Mode, Sequence[Sequence[Section]]]
) -> Table:
    table = Table("questions", "number", "search by", "nDCG@10", "recall@5", "MRR")
    kinds = ["all", *dict.fromkeys(labelled.kind for labelled in questions)]
    for kind in kinds:
        for mode in MODES:
            scores = scores_of(questions, rankings[mode], kind)
            figures = (f"{value:.3f}" for value in (scores.ndcg_10, scores.recall_5, scores.mrr))
            table.add_row(kind, str(scores.questions), mode, *figures)
        table.add_section()
    return table


def scores_of(
    questions: Sequence[Labelled], rankings: Sequence[Sequence[Section]], kind: str
) -> Scores:
    """The figures of the questions of one kind, or of all."""
    return score(
        (ranking, labelled.labels)
        for labelled, ranking in zip(questions, rankings, strict=True)
        if kind in ("all", labelled.kind)
    )
