"""Collections and who may see them, versions of documents, several embedding sets side by side.

Everything that the release before reads and writes stays as it knows it: new columns have defaults,
and a trigger keeps what that release does not write.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
phase = "expand"
# Statements that look like removing something, and why the release before does not miss it.
harmless = {
    "ALTER TABLE documents ALTER COLUMN owner_id DROP NOT NULL": "allows more than before",
    "ALTER TABLE documents DROP CONSTRAINT documents_owner_id_fkey": "made anew at once",
    "ALTER TABLE documents ADD CONSTRAINT documents_owner_id_fkey": "checked rows stay as they are",
    "ALTER TABLE chunks DROP CONSTRAINT chunks_document_id_position_key": "a wider one follows",
    "ALTER TABLE chunks ADD CONSTRAINT chunks_document_set_position": "holds for its rows too",
    "DROP INDEX chunks_embedding": "searches are slower until the next one is built, not wrong",
    "ALTER TABLE chunks ALTER COLUMN embedding TYPE halfvec": "only the fixed length is dropped",
}

COLLECTIONS = (
    # The name stands in addresses and in the model names of OpenAI's interface.
    """
    CREATE TABLE collections (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
        description text NOT NULL DEFAULT '',
        language regconfig NOT NULL DEFAULT 'english',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO collections (name, description) VALUES ('default', 'Where uploads go by default')",
)

ACCESS = (
    """
    ALTER TABLE users
        ADD COLUMN disabled_at timestamptz,
        ADD COLUMN sessions_ended_at timestamptz,
        ADD COLUMN written_lsn pg_lsn
    """,
    # What a user uploaded belongs to the collection and stays when the user goes.
    "ALTER TABLE documents ALTER COLUMN owner_id DROP NOT NULL",
    "ALTER TABLE documents DROP CONSTRAINT documents_owner_id_fkey",
    """
    ALTER TABLE documents ADD CONSTRAINT documents_owner_id_fkey
        FOREIGN KEY (owner_id) REFERENCES users (id) ON DELETE SET NULL
    """,
    """
    CREATE TABLE external_identities (
        issuer text NOT NULL,
        subject text NOT NULL,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX external_identities_user ON external_identities (user_id)",
    """
    CREATE TABLE groups (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE memberships (
        group_id uuid NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        PRIMARY KEY (group_id, user_id)
    )
    """,
    "CREATE INDEX memberships_user ON memberships (user_id)",
    """
    CREATE TABLE grants (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        collection_id integer NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
        user_id uuid REFERENCES users (id) ON DELETE CASCADE,
        group_id uuid REFERENCES groups (id) ON DELETE CASCADE,
        access text NOT NULL CHECK (access IN ('read', 'write')),
        created_at timestamptz NOT NULL DEFAULT now(),
        CHECK (num_nonnulls(user_id, group_id) = 1),
        UNIQUE NULLS NOT DISTINCT (collection_id, user_id, group_id)
    )
    """,
    "CREATE INDEX grants_user ON grants (user_id)",
    "CREATE INDEX grants_group ON grants (group_id)",
    # One login. Its refresh token changes with every use; using an earlier one ends the session.
    # It is made of the nonce and the server's key, so that neither of them alone gives it.
    """
    CREATE TABLE sessions (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        refresh_nonce text NOT NULL,
        refresh_sha256 text NOT NULL,
        previous_sha256 text,
        rotated_at timestamptz NOT NULL DEFAULT now(),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX sessions_user ON sessions (user_id, created_at)",
    "CREATE INDEX sessions_expires_at ON sessions (expires_at)",
    """
    CREATE TABLE api_keys (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        made_with uuid REFERENCES api_keys (id) ON DELETE CASCADE,
        name text NOT NULL,
        prefix text NOT NULL,
        sha256 text NOT NULL UNIQUE,
        scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin'] AND scopes <> '{}'),
        collections integer[],
        request_id text,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz
    )
    """,
    "CREATE INDEX api_keys_user ON api_keys (user_id)",
    "CREATE INDEX api_keys_made_with ON api_keys (made_with)",
    # The address and the name are hashed together: what people typed in error is often a password.
    """
    CREATE TABLE login_failures (
        key_sha256 text NOT NULL,
        failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE INDEX login_failures_key ON login_failures (key_sha256, failed_at)",
    "CREATE INDEX login_failures_failed_at ON login_failures (failed_at)",
    # Where a user has logged in: strangers elsewhere make nobody wait there.
    """
    CREATE TABLE login_addresses (
        key_sha256 text PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        used_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX login_addresses_user ON login_addresses (user_id, used_at)",
    # No foreign keys: the log outlives what it tells of.
    """
    CREATE TABLE audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        user_id uuid,
        username text,
        api_key_id uuid,
        action text NOT NULL,
        collections text[] NOT NULL DEFAULT '{}',
        object text,
        outcome text NOT NULL,
        address text,
        request_id text,
        details jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX audit_at ON audit (at)",
    "CREATE INDEX audit_user ON audit (user_id, at)",
    # Whose documents a statement may touch. `within` narrows it to the collections of an API key.
    """
    CREATE FUNCTION readable_collections(asking uuid, within integer[]) RETURNS integer[]
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(collections.id), '{}')
        FROM collections JOIN users ON users.id = asking AND users.disabled_at IS NULL
        WHERE (within IS NULL OR collections.id = ANY (within))
            AND (users.role = 'admin' OR EXISTS (
                SELECT FROM grants
                WHERE grants.collection_id = collections.id
                    AND (grants.user_id = asking OR grants.group_id IN (
                        SELECT group_id FROM memberships WHERE memberships.user_id = asking))))
    $$
    """,
    """
    CREATE FUNCTION writable_collections(asking uuid, within integer[]) RETURNS integer[]
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(collections.id), '{}')
        FROM collections JOIN users ON users.id = asking AND users.disabled_at IS NULL
        WHERE (within IS NULL OR collections.id = ANY (within))
            AND (users.role = 'admin' OR (users.role = 'editor' AND EXISTS (
                SELECT FROM grants
                WHERE grants.collection_id = collections.id AND grants.access = 'write'
                    AND (grants.user_id = asking OR grants.group_id IN (
                        SELECT group_id FROM memberships WHERE memberships.user_id = asking)))))
    $$
    """,
)

DOCUMENTS = (
    # `version`, `sha256`, `status` and the like tell of the newest upload; the served ones of what
    # search finds, which stays the version before until the newest is ready.
    """
    ALTER TABLE documents
        ADD COLUMN collection_id integer NOT NULL DEFAULT 1 REFERENCES collections (id),
        ADD COLUMN source text,
        ADD COLUMN version integer NOT NULL DEFAULT 1,
        ADD COLUMN served_version integer,
        ADD COLUMN served_sha256 text,
        ADD COLUMN served_filename text,
        ADD COLUMN served_media_type text,
        ADD COLUMN job_id bigint,
        ADD COLUMN stage text,
        ADD COLUMN progress jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN language regconfig,
        ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN dated_at timestamptz
    """,
    """
    UPDATE documents SET served_version = 1, served_sha256 = sha256, served_filename = filename,
        served_media_type = media_type
    WHERE status = 'ready'
    """,
    """
    UPDATE documents SET source = CASE
        WHEN (SELECT count(*) FROM documents AS same WHERE same.filename = documents.filename) = 1
        THEN filename ELSE filename || ' (' || id || ')' END
    """,
    # Documents that the release before adds meanwhile have no source and are never replaced.
    "CREATE UNIQUE INDEX documents_source ON documents (collection_id, source)",
    """
    CREATE INDEX documents_served_sha256 ON documents (served_sha256)
    WHERE served_sha256 IS NOT NULL
    """,
    "CREATE INDEX documents_owner_unfinished ON documents (owner_id)"
    " WHERE status IN ('queued', 'processing')",
    "CREATE INDEX documents_metadata ON documents USING gin (metadata jsonb_path_ops)",
    # Filters of a search: beginnings of a source, dates, and which languages are in use.
    "CREATE INDEX documents_source_text ON documents (source text_pattern_ops)",
    "CREATE INDEX documents_dated ON documents ((coalesce(dated_at, created_at)))",
    "CREATE INDEX documents_language ON documents (language)",
    """
    CREATE FUNCTION documents_serve_what_is_ready() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.status = 'ready' THEN
            NEW.served_version := NEW.version;
            NEW.served_sha256 := NEW.sha256;
            NEW.served_filename := NEW.filename;
            NEW.served_media_type := NEW.media_type;
        END IF;
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE TRIGGER documents_serve_what_is_ready BEFORE INSERT OR UPDATE ON documents
    FOR EACH ROW EXECUTE FUNCTION documents_serve_what_is_ready()
    """,
    # Whoever waits for a document's end listens; what it says is read by them, if they may.
    """
    CREATE FUNCTION documents_tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('slipway_documents', coalesce(NEW.id, OLD.id)::text);
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER documents_tell AFTER INSERT OR UPDATE OR DELETE ON documents
    FOR EACH ROW EXECUTE FUNCTION documents_tell()
    """,
    # A client's own key: repeating it returns the first document, whatever came after.
    """
    CREATE TABLE upload_keys (
        owner_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        key text NOT NULL,
        document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        sha256 text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (owner_id, key)
    )
    """,
    "CREATE INDEX upload_keys_document ON upload_keys (document_id)",
)

SETS = (
    """
    ALTER TABLE embedding_sets
        ADD COLUMN provider text NOT NULL DEFAULT 'builtin',
        ADD COLUMN runtime text NOT NULL DEFAULT 'onnxruntime',
        ADD COLUMN precision text NOT NULL DEFAULT 'int8',
        ADD COLUMN weights_sha256 text NOT NULL DEFAULT '',
        ADD COLUMN fingerprint text UNIQUE,
        ADD COLUMN state text NOT NULL DEFAULT 'serving'
            CHECK (state IN ('building', 'serving', 'kept', 'discarding')),
        ADD COLUMN switched_at timestamptz,
        ADD COLUMN report jsonb
    """,
    "CREATE UNIQUE INDEX embedding_sets_serving ON embedding_sets (state) WHERE state = 'serving'",
    "CREATE UNIQUE INDEX embedding_sets_building ON embedding_sets (state)"
    " WHERE state = 'building'",
    """
    ALTER TABLE chunks
        ADD COLUMN collection_id integer NOT NULL DEFAULT 1,
        ADD COLUMN version integer NOT NULL DEFAULT 1,
        ADD COLUMN ends_on_page integer
    """,
    "ALTER TABLE chunks DROP CONSTRAINT chunks_document_id_position_key",
    """
    ALTER TABLE chunks ADD CONSTRAINT chunks_document_set_position
        UNIQUE (document_id, embedding_set_id, position) INCLUDE (version)
    """,
    "CREATE INDEX chunks_set_collection ON chunks (embedding_set_id, collection_id)",
    # Sets of other dimensions live in the same column; each has an index over its own rows.
    "DROP INDEX chunks_embedding",
    "ALTER TABLE chunks ALTER COLUMN embedding TYPE halfvec",
    # Ranking reads a passage's words, exact search its vector: both stay in the row, not beside it
    # (docs/decisions/0011-search-in-two-routes.md).
    "ALTER TABLE chunks SET (toast_tuple_target = 4080)",
)

HNSW = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS chunks_embedding_1 ON chunks
USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 128)
WHERE embedding_set_id = 1
"""


def upgrade() -> None:
    """Add what is new; searches of the release before go on, without an index for a while."""
    for statement in (*COLLECTIONS, *ACCESS, *DOCUMENTS, *SETS):
        op.execute(statement)
    with op.get_context().autocommit_block():
        # CVE-2026-3172: parallel HNSW builds overflow a buffer in pgvector before 0.8.2.
        op.execute("SET max_parallel_maintenance_workers = 0")
        op.execute(HNSW)
        op.execute("RESET max_parallel_maintenance_workers")


def downgrade() -> None:
    """Nothing goes back: the release before works on this schema."""
