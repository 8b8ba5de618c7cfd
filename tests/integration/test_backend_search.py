"""A search uses its indexes, and filters and access lose nothing that they allow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import generate_latest
from psycopg.types.json import Jsonb

from slipway_backend.access import Identity
from slipway_backend.database import Connection, Pool, make_pool
from slipway_backend.documents import vector_literal
from slipway_backend.embedding import Fingerprint
from slipway_backend.embedding_sets import EmbeddingSet, FixedServing
from slipway_backend.filters import EVERYTHING, Filters
from slipway_backend.halfvec import HalfVector
from slipway_backend.metrics import Metrics
from slipway_backend.migrate import migrate
from slipway_backend.search import Searcher, StageSampler
from slipway_backend.search.index_health import measure_recall
from slipway_backend.search.plan import Plan, make_plan
from slipway_backend.search.sampling import EVERY, stages_of
from slipway_backend.search.statement import (
    FUSED,
    RANK_CONSTANT,
    Mode,
    Route,
    Shape,
    search_statement,
)
from slipway_backend.search.statistics import Statistics, read_statistics
from slipway_backend.settings import Level, Settings

PLANS = ["force_custom_plan", "force_generic_plan"]
DOCUMENTS = 2_000
PER_DOCUMENT = 10
DIMENSION = 384
HALF_METADATA, SOME_METADATA = {"side": "left"}, {"hundred": 7}
# Collections by their share of all documents: 1 %, 0.1 %, 20 %, the rest.
COLLECTIONS = {"hundredth": 20, "thousandth": 2, "fifth": 400}


class GivenVectors:
    """Embeds a query as the vector that was given for it."""

    name = "given"
    dimension = DIMENSION
    runtime = "none"

    def __init__(self) -> None:
        self.vector = numpy.zeros(DIMENSION, dtype=numpy.float32)

    def embed(self, texts: Sequence[str]) -> NDArray[numpy.float32]:
        return numpy.stack([self.vector] * len(texts))

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("given", "builtin", "none", "none", DIMENSION)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        return [self.count_tokens(text) for text in texts]


@dataclass(frozen=True)
class Corpus:
    """Twenty thousand made passages in a real database, and what is known about each."""

    conninfo: str
    admin: UUID
    reader: UUID
    vectors: NDArray[numpy.float32]
    collections: NDArray[numpy.str_]
    documents: NDArray[numpy.int64]

    def nearest(self, vector: NDArray[numpy.float32], allowed: NDArray[numpy.bool_]) -> set[int]:
        """The ids of the ten nearest allowed passages, by exact search."""
        stored, asked = (
            each.astype(numpy.float16).astype(numpy.float32) for each in (self.vectors, vector)
        )
        lengths = numpy.linalg.norm(stored, axis=1) * numpy.linalg.norm(asked)
        distances = 1 - stored @ asked / lengths
        distances[~allowed] = numpy.inf
        return {int(index) + 1 for index in numpy.argsort(distances, kind="stable")[:10]}


def made_vectors() -> NDArray[numpy.float32]:
    generator = numpy.random.default_rng(11)
    centers = generator.normal(size=(100, DIMENSION))
    noise = generator.normal(size=(DOCUMENTS * PER_DOCUMENT, DIMENSION))
    rows = 0.5 * numpy.repeat(centers[generator.integers(0, 100, DOCUMENTS)], PER_DOCUMENT, 0)
    rows = rows + noise
    made: NDArray[numpy.float32] = (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype(
        numpy.float32
    )
    return made


def collection_of(document: int) -> str:
    for name, many in COLLECTIONS.items():
        if document < many:
            return name
        document -= many
    return "default"


@pytest.fixture(scope="module")
def corpus(postgres: str) -> Iterator[Corpus]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        conninfo = psycopg.conninfo.make_conninfo(postgres, dbname=name)
        migrate(
            Settings(
                database_url=conninfo, jwt_secret="s" * 32, admin_password="a password for tests"
            )
        )
        with psycopg.connect(conninfo, autocommit=True) as connection:
            yield fill(connection, conninfo)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def fill(connection: psycopg.Connection[Any], conninfo: str) -> Corpus:
    vectors = made_vectors()
    generator = numpy.random.default_rng(5)
    vocabulary = numpy.array([f"word{number}" for number in range(3000)])
    shares = 1 / numpy.arange(2, 3002)
    row = connection.execute("SELECT id FROM users").fetchone()
    assert row is not None
    admin = row[0]
    connection.execute(
        "INSERT INTO embedding_sets (id, model, dimension) VALUES (1, 'given', %s)", [DIMENSION]
    )
    connection.execute(
        "INSERT INTO collections (name) SELECT unnest(%s::text[])", [list(COLLECTIONS)]
    )
    numbers = dict(connection.execute("SELECT name, id FROM collections").fetchall())
    index = connection.execute("SELECT pg_get_indexdef('chunks_embedding_1'::regclass)").fetchone()
    assert index is not None
    connection.execute("DROP INDEX chunks_embedding_1")
    names = [collection_of(document) for document in range(DOCUMENTS)]
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(
            "COPY documents (id, owner_id, idempotency_key, filename, media_type, bytes, sha256,"
            " status, collection_id, source, metadata, dated_at) FROM STDIN"
        ) as copy:
            for document, collection in enumerate(names):
                about = {"side": ("left", "right")[document % 2], "hundred": document % 100}
                copy.write_row(
                    (UUID(int=document), admin, str(document), f"{document}.md", "text/markdown",
                     1, f"{document:064x}", "ready", numbers[collection],
                     f"shelf{document % 50}/{document}.md", Jsonb(about),
                     datetime(2031, 1, 1 + document % 28, tzinfo=UTC))
                )  # fmt: skip
        with cursor.copy(
            "COPY chunks (document_id, embedding_set_id, position, text, tokens, collection_id,"
            " embedding) FROM STDIN"
        ) as copy:
            for number, vector in enumerate(vectors):
                document = number // PER_DOCUMENT
                words = vocabulary[generator.choice(3000, size=30, p=shares / shares.sum())]
                copy.write_row(
                    (UUID(int=document), 1, number % PER_DOCUMENT, " ".join(words), 30,
                     numbers[names[document]], vector_literal(vector))
                )  # fmt: skip
    connection.execute(index[0])
    connection.execute("ANALYZE")
    made = connection.execute(
        "INSERT INTO users (username, password_hash, role) VALUES ('rita', '-', 'reader')"
        " RETURNING id"
    ).fetchone()
    assert made is not None
    connection.execute(
        "INSERT INTO grants (collection_id, user_id, access) VALUES (%s, %s, 'read')",
        [numbers["hundredth"], made[0]],
    )
    documents = numpy.arange(len(vectors)) // PER_DOCUMENT
    return Corpus(conninfo, admin, made[0], vectors, numpy.array(names)[documents], documents)


@pytest.fixture
async def pool(corpus: Corpus) -> AsyncIterator[Pool]:
    async with make_pool(corpus.conninfo, size=2, timeout=10.0) as made:
        yield made


def allowed_by(corpus: Corpus, who: str, filters: Filters) -> NDArray[numpy.bool_]:
    """Which passages a search may find, told without the database."""
    allowed = numpy.ones(len(corpus.vectors), dtype=bool)
    if who == "reader":
        allowed &= corpus.collections == "hundredth"
    if filters.collections:
        allowed &= numpy.isin(corpus.collections, filters.collections)
    if "side" in filters.metadata:
        allowed &= corpus.documents % 2 == 0
    if "hundred" in filters.metadata:
        allowed &= corpus.documents % 100 == 7
    if filters.sources:
        allowed &= corpus.documents % 50 == 3
    if filters.dated_from:
        allowed &= corpus.documents % 28 >= 14
    return allowed


CASES: dict[str, tuple[str, Filters, Route]] = {
    "administrator without filter": ("admin", EVERYTHING, "index"),
    "grant of 1 %": ("reader", EVERYTHING, "exact"),
    "collection of 0.1 %": ("admin", Filters(collections=("thousandth",)), "exact"),
    "collection of 20 %": ("admin", Filters(collections=("fifth",)), "index"),
    "metadata of 1 %": ("admin", Filters(metadata=SOME_METADATA), "exact"),
    "metadata of 50 %": ("admin", Filters(metadata=HALF_METADATA), "index"),
    "sources of 2 %": ("admin", Filters(sources=("shelf3/*",)), "exact"),
    "half of all days": (
        "admin",
        Filters(dated_from=datetime(2031, 1, 15, tzinfo=UTC)),
        "index",
    ),
    "a mix of 10 %": (
        "admin",
        Filters(collections=("fifth", "nowhere"), metadata=HALF_METADATA),
        "exact",
    ),
    "a mix of 1 %": (
        "reader",
        Filters(collections=("hundredth", "fifth"), metadata=HALF_METADATA),
        "exact",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_whatever_narrows_a_search_it_finds_ten_and_nearly_always_the_nearest(
    corpus: Corpus, pool: Pool, case: str
) -> None:
    who, filters, route = CASES[case]
    allowed = allowed_by(corpus, who, filters)
    identity = identity_of(corpus, who)
    embedder = GivenVectors()
    searcher = Searcher(pool, FixedServing(EmbeddingSet(1, embedder)), Metrics())
    await route_is(corpus, pool, identity, filters, route)
    generator = numpy.random.default_rng(2)
    hits = 0
    for number in generator.integers(0, len(corpus.vectors), 25):
        # Not only queries near to what is allowed: filters hurt where the nearest is forbidden.
        vector = corpus.vectors[number] + 0.03 * generator.normal(size=DIMENSION)
        embedder.vector = (vector / numpy.linalg.norm(vector)).astype(numpy.float32)
        found = await searcher.find(
            "word1 word900", identity=identity, filters=filters, mode="vector"
        )
        numbers = [passage.chunk_id for passage in found.passages]
        assert len(numbers) == len(set(numbers)) == 10
        assert all(allowed[identifier - 1] for identifier in numbers)
        hits += len(corpus.nearest(embedder.vector, allowed) & set(numbers))
        both = await searcher.search("word1 word900", identity=identity, filters=filters)
        assert len(both) == 10
        assert all(allowed[passage.chunk_id - 1] for passage in both)
    assert hits / 250 >= 0.95


def identity_of(corpus: Corpus, who: str) -> Identity:
    if who == "reader":
        return Identity(corpus.reader, "rita", "reader")
    return Identity(corpus.admin, "admin", "admin")


async def planned(
    connection: Connection,
    identity: Identity,
    query: str,
    filters: Filters,
    statistics: Statistics,
    *,
    mode: Mode,
) -> Plan:
    return await make_plan(
        connection,
        query,
        identity=identity,
        filters=filters,
        serving=EmbeddingSet(1, GivenVectors()),
        statistics=statistics,
        mode=mode,
        limit=10,
    )


async def route_is(
    corpus: Corpus, pool: Pool, identity: Identity, filters: Filters, route: Route
) -> None:
    async with pool.connection() as connection:
        statistics = await read_statistics(connection)
        plan = await planned(connection, identity, "word1", filters, statistics, mode="hybrid")
    assert plan.shape.route == route
    assert plan.values["within"]


async def test_the_index_route_finds_all_there_is_even_where_the_index_gives_up(
    corpus: Corpus, pool: Pool
) -> None:
    """Statistics may be wrong; then a search over little takes the route for much."""
    filters = Filters(collections=("thousandth",))
    async with pool.connection() as connection:
        admin = identity_of(corpus, "admin")
        plan = await planned(connection, admin, "word1", filters, Statistics(), mode="vector")
        vector = corpus.vectors[7777]
        values = {**plan.values, "vector": HalfVector(vector)}
        await connection.execute("SET hnsw.max_scan_tuples = 200")
        cursor = await connection.execute(
            search_statement(Shape(1, DIMENSION, "index", "vector")), values
        )
        found = {row["chunk_id"] for row in await cursor.fetchall()}
        await connection.execute("RESET hnsw.max_scan_tuples")
    assert found == corpus.nearest(vector, corpus.collections == "thousandth")


async def explained(
    connection: Connection, plan: str, *, route: Route, filters: Filters = EVERYTHING
) -> str:
    """The plan of a search statement for someone who may read everything."""
    values = {
        "languages": ["english"],
        "wanted": ["'word800' | 'word900'"],
        "every_word": ["'word800' & 'word900'"],
        "rare": ["'word800'"],
        "rare_weights": [2.0],
        "usual": ["'word900'"],
        "usual_weights": [1.0],
        "common": [""],
        "common_weights": [0.0],
        "word_languages": ["english", "english"],
        "words": ["'word800'", "'word900'"],
        "shares": [0.6, 0.4],
        "vector": HalfVector(numpy.ones(DIMENSION, dtype=numpy.float32)),
        "asking": uuid4(),
        "within": [1],
        **filters.parameters(),
    }
    shape = Shape(1, DIMENSION, route, conditions=filters.conditions(), limit=5)
    statement = search_statement(shape)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
        cursor = await connection.execute(f"EXPLAIN {statement}", values, prepare=True)
        return "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("filters", [EVERYTHING, Filters(metadata=HALF_METADATA)])
async def test_a_search_over_much_uses_the_word_and_the_vector_index_prepared_or_not(
    pool: Pool, plan: str, filters: Filters
) -> None:
    async with pool.connection() as connection:
        lines = await explained(connection, plan, route="index", filters=filters)
    assert "Bitmap Index Scan on chunks_lexemes" in lines
    assert "Index Scan using chunks_embedding_1" in lines
    assert "Seq Scan on chunks" not in lines


@pytest.mark.parametrize("plan", PLANS)
async def test_a_search_over_little_reads_only_what_is_allowed(pool: Pool, plan: str) -> None:
    async with pool.connection() as connection:
        lines = await explained(connection, plan, route="exact")
        assert "chunks_set_collection" in lines
        assert "chunks_embedding_1" not in lines
        assert "Seq Scan on chunks" not in lines
        narrowed = Filters(metadata=SOME_METADATA)
        lines = await explained(connection, plan, route="exact", filters=narrowed)
        assert "chunks_document_set_position" in lines
        assert "documents_metadata" in lines
        assert "Seq Scan on chunks" not in lines


async def test_with_the_settings_shipped_the_index_finds_what_exact_search_finds(
    corpus: Corpus, pool: Pool
) -> None:
    embedder = GivenVectors()
    searcher = Searcher(pool, FixedServing(EmbeddingSet(1, embedder)), Metrics())
    everything = numpy.ones(len(corpus.vectors), dtype=bool)
    generator = numpy.random.default_rng(8)
    hits = 0
    for number in generator.integers(0, len(corpus.vectors), 100):
        vector = corpus.vectors[number] + 0.03 * generator.normal(size=DIMENSION)
        embedder.vector = (vector / numpy.linalg.norm(vector)).astype(numpy.float32)
        found = await searcher.find("x", identity=identity_of(corpus, "admin"), mode="vector")
        ids = {passage.chunk_id for passage in found.passages}
        hits += len(corpus.nearest(embedder.vector, everything) & ids)
    assert hits / 1000 >= 0.97


@pytest.mark.parametrize(("level", "sampled"), [("minimal", 0), ("full", 2)])
async def test_some_searches_tell_how_long_each_half_took_inside_the_statement(
    corpus: Corpus, pool: Pool, level: Level, sampled: int
) -> None:
    metrics = Metrics(level)
    embedder = GivenVectors()
    embedder.vector = corpus.vectors[17]
    sampler = StageSampler(pool, metrics)
    searcher = Searcher(pool, FixedServing(EmbeddingSet(1, embedder)), metrics, sampler=sampler)
    asking = identity_of(corpus, "admin")
    for number in range(2 * EVERY["full"]):
        await searcher.search(f"word1 word{number}", identity=asking)
        await sampler.finish()
    text = generate_latest(metrics.registry).decode()
    for stage in ("search_text", "search_vector", "fuse"):
        count = f'slipway_stage_duration_seconds_count{{stage="{stage}"}} {sampled}.0'
        assert (count in text) == bool(sampled)
    for filters, mode, stages in (
        (Filters(collections=("thousandth",)), "hybrid", {"search_text", "search_vector", "fuse"}),
        (EVERYTHING, "vector", {"search_vector", "fuse"}),
        (Filters(metadata=HALF_METADATA), "text", {"search_text", "fuse"}),
    ):
        assert await stages_told(corpus, pool, filters, mode) == stages


async def stages_told(corpus: Corpus, pool: Pool, filters: Filters, mode: Mode) -> set[str]:
    async with pool.connection() as connection:
        statistics = await read_statistics(connection)
        admin = identity_of(corpus, "admin")
        plan = await planned(connection, admin, "word1 word900", filters, statistics, mode=mode)
        values = {**plan.values, "vector": HalfVector(corpus.vectors[3])}
        statement = f"EXPLAIN (ANALYZE, FORMAT JSON) {search_statement(plan.shape)}"
        cursor = await connection.execute(statement, values)
        row = await cursor.fetchone()
    assert row is not None
    stages = stages_of(row["QUERY PLAN"][0])
    assert all(seconds >= 0 for seconds in stages.values())
    return set(stages)


async def test_a_healthy_index_finds_what_exact_search_finds_and_can_be_made_anew(
    pool: Pool,
) -> None:
    async with pool.connection() as connection:
        health = await measure_recall(connection, 1, DIMENSION, samples=8)
        assert health.healthy
        assert health.samples > 0
        # One candidate at a time finds little: the figure must tell.
        await connection.execute("SET hnsw.ef_search = 1")
        await connection.execute("SET hnsw.iterative_scan = off")
        assert (await measure_recall(connection, 1, DIMENSION, samples=8)).recall <= 0.2
        await connection.execute("RESET ALL")


@given(st.permutations(range(1, 13)), st.permutations(range(1, 13)), st.integers(0, 12))
@example(list(range(1, 13)), list(range(1, 13)), 0)
@settings(max_examples=25)
def test_the_fusion_is_that_of_its_definition_whatever_the_orders(
    corpus: Corpus, texts: list[int], vectors: list[int], missing: int
) -> None:
    """The statement's own fusion, over made halves: a missing place counts nothing."""
    by_text = dict(zip(texts[missing:], range(1, 13), strict=False))
    by_vector = dict(zip(vectors, range(1, 13 - missing), strict=False))
    halves = """
        WITH by_text AS (SELECT id, place, 0.5::float8 AS coverage FROM
            unnest(%(text_ids)s::bigint[], %(text_places)s::bigint[]) AS given (id, place)),
        by_vector AS (SELECT id, place FROM
            unnest(%(vector_ids)s::bigint[], %(vector_places)s::bigint[]) AS given (id, place)),
        fused AS (
    """
    fused = FUSED.split("fused AS (", 1)[1].split("SELECT documents.id", 1)[0]
    fused = fused.replace("{constant}", str(RANK_CONSTANT)).replace("{limit}", "24")
    values = {
        "text_ids": list(by_text), "text_places": list(by_text.values()),
        "vector_ids": list(by_vector), "vector_places": list(by_vector.values()),
    }  # fmt: skip
    with psycopg.connect(corpus.conninfo, autocommit=True) as connection:
        rows = connection.execute(f"{halves}{fused}SELECT id, score FROM fused", values).fetchall()
    expected = {
        number: (0.5 / (RANK_CONSTANT + by_text[number]) if number in by_text else 0.0)
        + (1.0 / (RANK_CONSTANT + by_vector[number]) if number in by_vector else 0.0)
        for number in {*by_text, *by_vector}
    }
    assert dict(rows) == pytest.approx(expected)
    assert [number for number, _ in rows] == sorted(
        expected, key=lambda number: (-dict(rows)[number], number)
    )
