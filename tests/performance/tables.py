"""The corpus in everybody's tables: loaded alike, by SQL, so that only serving it differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy
import psycopg
from numpy.typing import NDArray
from performance.corpus import Chunk

STAGING = """
CREATE UNLOGGED TABLE corpus (
    number integer, document integer, position integer, heading text, body text, passage text,
    embedding vector(384))
"""
SLIPWAY = (
    """
    INSERT INTO documents (owner_id, idempotency_key, filename, source, media_type, bytes, sha256,
        status, chunks)
    SELECT (SELECT id FROM users WHERE role = 'admin' LIMIT 1), 'corpus-' || document,
        'manual-' || document || '.md', 'manual-' || document || '.md', 'text/markdown',
        sum(length(passage)), encode(sha256(('corpus-' || document)::bytea), 'hex'), 'ready',
        count(*)
    FROM corpus GROUP BY document
    """,
    """
    INSERT INTO chunks (document_id, embedding_set_id, position, heading, text, tokens, embedding)
    SELECT documents.id, 1, position, heading, body, 70, embedding::halfvec(384)
    FROM corpus JOIN documents ON documents.source = 'manual-' || corpus.document || '.md'
    ORDER BY number
    """,
)
LANGCHAIN = (
    """
    INSERT INTO langchain_chunks (langchain_id, content, embedding, content_tsv, langchain_metadata)
    SELECT gen_random_uuid(), passage, embedding, to_tsvector('pg_catalog.english', passage),
        json_build_object('source', 'manual-' || document)
    FROM corpus ORDER BY number
    """,
)
LLAMAINDEX = """
    INSERT INTO data_llamaindex_chunks (text, metadata_, node_id, embedding)
    SELECT passage, replace(%(template)s, %(name)s, fresh::text)::json, fresh, embedding
    FROM (SELECT *, gen_random_uuid() AS fresh FROM corpus ORDER BY number) AS given
"""


def stage(
    connection: psycopg.Connection, chunks: Sequence[Chunk], vectors: NDArray[numpy.float32]
) -> None:
    """Copy the corpus into a table of its own."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute(STAGING)
    with connection.cursor().copy("COPY corpus FROM STDIN (FORMAT BINARY)") as copy:
        for block in _binary(chunks, vectors):
            copy.write(block)


def fill(connection: psycopg.Connection, table: str, statements: Sequence[object]) -> None:
    """Run the statements that fill a table, its slow indexes being built afterwards."""
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
        " AND (indexdef LIKE '%%hnsw%%' OR indexdef LIKE '%%gin%%')",
        [table],
    ).fetchall()
    for name, _ in found:
        connection.execute(f'DROP INDEX "{name}"')
    for statement in statements:
        text, values = statement if isinstance(statement, tuple) else (statement, None)
        connection.execute(text, values)
    connection.execute("SET maintenance_work_mem = '1GB'")
    # CVE-2026-3172: parallel HNSW builds overflow a buffer in pgvector before 0.8.2.
    connection.execute("SET max_parallel_maintenance_workers = 0")
    for _, definition in found:
        connection.execute(definition)
    connection.execute(f'VACUUM (ANALYZE) "{table}"')


def llamaindex_statement(template: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The statement for their table; `template` is a node's metadata as their code writes it."""
    return LLAMAINDEX, template


def _binary(chunks: Sequence[Chunk], vectors: NDArray[numpy.float32]) -> Iterator[bytes]:
    """PostgreSQL's binary COPY; pgvector's values are a length, a zero and big-endian floats."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    rows = vectors.astype(">f4")
    length = rows.shape[1]
    for number, chunk in enumerate(chunks):
        fields = [
            number.to_bytes(4),
            chunk.document.to_bytes(4),
            chunk.position.to_bytes(4),
            chunk.heading.encode(),
            chunk.text.encode(),
            chunk.passage.encode(),
            length.to_bytes(2) + bytes(2) + rows[number].tobytes(),
        ]
        yield len(fields).to_bytes(2) + b"".join(len(field).to_bytes(4) + field for field in fields)
    yield (-1).to_bytes(2, signed=True)
