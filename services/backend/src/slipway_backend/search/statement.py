"""The search statement: both halves and their fusion, spelt for one set, route and mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from slipway_backend.access import READABLE

Mode = Literal["hybrid", "text", "vector"]
Route = Literal["exact", "index"]

# What each half gives to the fusion.
CANDIDATES = 60
# A bound for wrong statistics: no more passages than this have their words compared.
MOST_MATCHES = 8_000
# The constant of reciprocal rank fusion: larger values flatten the ranks. As published it is 60;
# docs/decisions/0012-search-fusion.md tells what was better here.
RANK_CONSTANT = 10

# One row per language: what to match there, and its words in three groups by rarity.
ASKED = """
asked AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(languages)s::regconfig[], %(wanted)s::tsquery[], %(every_word)s::tsquery[],
        %(rare)s::tsquery[], %(rare_weights)s::float8[],
        %(usual)s::tsquery[], %(usual_weights)s::float8[],
        %(common)s::tsquery[], %(common_weights)s::float8[]
    ) AS given (language, wanted, every_word,
        rare, rare_weight, usual, usual_weight, common, common_weight)
    LIMIT {languages}
),
words AS MATERIALIZED (
    SELECT *
    FROM unnest(%(word_languages)s::regconfig[], %(words)s::tsquery[], %(shares)s::float8[])
        AS given (language, word, share)
)
"""

# The allowed passages one by one, through the index on documents or on collections. The inner
# statements' OFFSET 0 keeps that order: estimates of a filter on JSON are guesses.
BY_DOCUMENT = """
    SELECT {columns}
    FROM (
        SELECT id FROM documents
        WHERE collection_id = {readable} AND {conditions}
        OFFSET 0
    ) AS allowed_documents
    CROSS JOIN LATERAL (
        SELECT * FROM chunks
        WHERE chunks.document_id = allowed_documents.id AND chunks.embedding_set_id = {set}
        OFFSET 0
    ) AS chunks
"""
# The bounds say nothing new. They let the planner expect few passages whatever it knows of the
# collections, so that it never reads the whole table instead of the index.
BY_COLLECTION = """
    SELECT {columns}
    FROM chunks
    WHERE embedding_set_id = {set} AND collection_id = {readable}
        AND collection_id BETWEEN (SELECT min(id) FROM unnest({ids}) AS id)
        AND (SELECT max(id) FROM unnest({ids}) AS id)
"""

# "+ 0" keeps the planner from reading all of a collection to look for words or nearness in it.
WITHIN = "chunks.embedding_set_id + 0 = {set} AND chunks.collection_id + 0 = {readable}"
# Not an IN or EXISTS, which would become a join that reads every allowed document first.
DOCUMENT_PASSES = "(SELECT {conditions} FROM documents WHERE documents.id = chunks.document_id)"

# 1: divided by one plus the logarithm of the passage's length.
RELEVANCE = """
            asked.rare_weight * ts_rank_cd(lexemes, asked.rare, 1)
            + asked.usual_weight * ts_rank_cd(lexemes, asked.usual, 1)
            + asked.common_weight * ts_rank_cd(lexemes, asked.common, 1)
"""
# What a passage covers of the query, 0 to 1, is how much its place counts: the best of those that
# hold one common word of a question says little.
BY_TEXT = """
by_text AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY relevance DESC, id) AS place, (
        SELECT coalesce(sum(words.share), 0)
        FROM chunks JOIN words ON words.language = chunks.language
            AND chunks.lexemes @@ words.word
        WHERE chunks.id = ranked.id
    ) AS coverage
    FROM (
        SELECT id, relevance FROM ({matching}) AS matched
        ORDER BY relevance DESC, id
        LIMIT {candidates}
    ) AS ranked
)
"""
MATCHING = """
            SELECT chunks.id, {relevance} AS relevance
            FROM asked JOIN chunks ON chunks.lexemes @@ asked.wanted
                AND chunks.language = asked.language
            WHERE {within}
            LIMIT {most_matches}
"""
MATCHING_ALLOWED = """
            SELECT allowed.id, {relevance} AS relevance
            FROM asked JOIN ({allowed} OFFSET 0) AS allowed ON allowed.lexemes @@ asked.wanted
                AND allowed.language = asked.language
"""

NEAREST_ALLOWED = """
nearest AS (
    SELECT id, distance
    FROM ({allowed}) AS allowed
    ORDER BY distance, id
    LIMIT {candidates}
)
"""
# An iterative scan gives up after hnsw.max_scan_tuples, and gives rows a little out of order. What
# it did not find in a case nobody foresaw is looked for in every allowed passage.
NEAREST_INDEXED = """
scanned AS MATERIALIZED (
    SELECT id, embedding::halfvec({dimension}) <=> %(vector)s::halfvec({dimension}) AS distance
    FROM chunks
    WHERE embedding_set_id = {set} AND chunks.collection_id + 0 = {readable} {passes}
    ORDER BY embedding::halfvec({dimension}) <=> %(vector)s::halfvec({dimension})
    LIMIT {candidates}
),
nearest AS (
    SELECT id, distance FROM scanned
    UNION
    (
        SELECT id, embedding <=> %(vector)s::halfvec AS distance
        FROM ({allowed}) AS allowed
        WHERE (SELECT count(*) FROM scanned) < {candidates}
        ORDER BY distance, id
        LIMIT {candidates}
    )
)
"""
BY_VECTOR = """
by_vector AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY distance, id) AS place
    FROM nearest
    ORDER BY distance, id
    LIMIT {candidates}
)
"""
NOT_ASKED = (
    "{half} AS (SELECT NULL::bigint AS id, NULL::bigint AS place, NULL::float8 AS coverage"
    " WHERE false)"
)

FUSED = """
fused AS (
    SELECT id, by_text.place AS text_rank, by_vector.place AS vector_rank,
        coalesce(by_text.coverage / ({constant} + by_text.place), 0)
        + coalesce(1::float8 / ({constant} + by_vector.place), 0) AS score
    FROM by_text FULL JOIN by_vector USING (id)
    ORDER BY score DESC, id
    LIMIT {limit}
)
SELECT documents.id AS document_id, documents.filename, collections.name AS collection,
    documents.source, chunks.version, chunks.id AS chunk_id,
    chunks.position, chunks.page, chunks.ends_on_page, chunks.heading, chunks.text,
    fused.score::float8 AS score,
    1 - (chunks.embedding <=> %(vector)s::halfvec) AS similarity,
    fused.text_rank, fused.vector_rank,
    coalesce(
        (SELECT bool_or(chunks.lexemes @@ asked.every_word) FROM asked
         WHERE asked.language = chunks.language), false) AS has_every_word
FROM fused
JOIN chunks USING (id)
JOIN documents ON documents.id = chunks.document_id
JOIN collections ON collections.id = documents.collection_id
ORDER BY fused.score DESC, chunks.id
"""


@dataclass(frozen=True)
class Shape:
    """What decides a statement's text; every value in it comes from this program.

    ``limit`` is how many passages are wanted, ``languages`` in how many the words are looked for.
    """

    set_id: int
    dimension: int
    route: Route
    mode: Mode = "hybrid"
    conditions: str = ""
    limit: int = 10
    languages: int = 1


@lru_cache(maxsize=256)
def search_statement(shape: Shape) -> str:
    """The search statement for one shape.

    Set and dimension are literals: with parameters a plan cannot prove that the set's partial
    index holds what is looked for. So is every number of rows: a plan that is kept for all values
    would guess them (docs/decisions/0013-query-path.md).
    """
    names = {
        "set": str(int(shape.set_id)),
        "dimension": str(int(shape.dimension)),
        "readable": READABLE,
        "conditions": shape.conditions,
        "candidates": str(max(CANDIDATES, int(shape.limit))),
        "most_matches": str(MOST_MATCHES),
        "constant": str(RANK_CONSTANT),
        "limit": str(int(shape.limit)),
        "languages": str(int(shape.languages)),
    }
    passes = f"AND {DOCUMENT_PASSES}" if shape.conditions else ""
    by_text = BY_TEXT
    parts = [ASKED]
    if shape.route == "exact":
        # Read twice: keeping words and vectors for the other half costs more than reading them.
        worded = allowed_passages(shape, "chunks.id, language, lexemes")
        by_text = by_text.replace("{matching}", MATCHING_ALLOWED).replace("{allowed}", worded)
        near = allowed_passages(shape, "chunks.id, embedding <=> %(vector)s::halfvec AS distance")
        nearest = NEAREST_ALLOWED.replace("{allowed}", near)
    else:
        by_text = by_text.replace("{matching}", MATCHING).replace("{within}", f"{WITHIN} {passes}")
        nearest = NEAREST_INDEXED.replace(
            "{allowed}", allowed_passages(shape, "chunks.id, embedding")
        ).replace("{passes}", passes)
    by_text = by_text.replace("{relevance}", RELEVANCE)
    if shape.mode == "vector":
        parts.append(NOT_ASKED.replace("{half}", "by_text"))
    else:
        parts.append(by_text)
    if shape.mode == "text":
        parts.append(NOT_ASKED.replace("{half}", "by_vector"))
    else:
        parts.extend((nearest, BY_VECTOR))
    return _spell("WITH " + ",".join(parts) + "," + FUSED, names)


def allowed_passages(
    shape: Shape, columns: str, *, readable: str = READABLE, ids: str = "%(within)s::integer[]"
) -> str:
    """The statement that reads every allowed passage of a set through an index.

    ``ids`` are the collections that ``readable`` allows.
    """
    names = {
        "set": str(int(shape.set_id)),
        "readable": readable,
        "ids": ids,
        "conditions": shape.conditions,
    }
    text = BY_DOCUMENT if shape.conditions else BY_COLLECTION
    return _spell(text.replace("{columns}", columns), names)


def _spell(text: str, names: dict[str, str]) -> str:
    # Not str.format: the conditions may hold braces.
    for _ in range(2):
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
    return text
