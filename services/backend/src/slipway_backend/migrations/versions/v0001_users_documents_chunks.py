"""Users, documents, chunks with their full-text and vector indexes, and the embedding set."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
phase = "expand"

STATEMENTS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    """
    CREATE TABLE users (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        username text NOT NULL UNIQUE,
        password_hash text NOT NULL,
        role text NOT NULL CHECK (role IN ('admin', 'editor', 'reader')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE embedding_sets (
        id integer PRIMARY KEY,
        model text NOT NULL,
        dimension integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE documents (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        owner_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        idempotency_key text NOT NULL,
        filename text NOT NULL,
        media_type text NOT NULL,
        bytes bigint NOT NULL,
        sha256 text NOT NULL,
        status text NOT NULL DEFAULT 'queued'
            CHECK (status IN ('queued', 'processing', 'ready', 'failed')),
        error text,
        pages integer,
        chunks integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (owner_id, idempotency_key)
    )
    """,
    "CREATE INDEX documents_created_at ON documents (created_at DESC, id)",
    "CREATE INDEX documents_sha256 ON documents (sha256)",
    """
    CREATE INDEX documents_unfinished ON documents (created_at)
    WHERE status IN ('queued', 'processing')
    """,
    """
    CREATE TABLE chunks (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        embedding_set_id integer NOT NULL REFERENCES embedding_sets (id),
        position integer NOT NULL,
        page integer,
        heading text NOT NULL DEFAULT '',
        text text NOT NULL,
        tokens integer NOT NULL,
        language regconfig NOT NULL DEFAULT 'english',
        embedding halfvec(384) NOT NULL,
        lexemes tsvector GENERATED ALWAYS AS (
            setweight(to_tsvector(language, heading), 'A')
            || setweight(to_tsvector(language, text), 'B')
        ) STORED,
        UNIQUE (document_id, position)
    )
    """,
    "CREATE INDEX chunks_lexemes ON chunks USING gin (lexemes)",
    # CVE-2026-3172: parallel HNSW builds overflow a buffer in pgvector before 0.8.2.
    "SET LOCAL max_parallel_maintenance_workers = 0",
    """
    CREATE INDEX chunks_embedding ON chunks USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64)
    """,
)


def upgrade() -> None:
    """Make the tables and indexes."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Remove the tables; the extension stays, others may use it."""
    op.execute("DROP TABLE chunks, documents, embedding_sets, users")
