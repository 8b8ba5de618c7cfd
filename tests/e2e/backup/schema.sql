-- What the backend's tables are like, as far as backups look at them.
CREATE TABLE alembic_version (version_num text PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0003');
CREATE TABLE collections (id integer PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO collections VALUES (1, 'default'), (2, 'empty');
CREATE TABLE documents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    collection_id integer NOT NULL DEFAULT 1 REFERENCES collections (id),
    source text,
    filename text NOT NULL,
    sha256 text NOT NULL,
    served_sha256 text,
    created_at timestamptz NOT NULL DEFAULT now(),
    metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE chunks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    embedding_set_id integer NOT NULL DEFAULT 1,
    text text NOT NULL,
    language regconfig NOT NULL DEFAULT 'english',
    embedding halfvec NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (to_tsvector(language, text)) STORED
);
CREATE INDEX chunks_lexemes ON chunks USING gin (lexemes);
CREATE TABLE ledger (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE settings (name text PRIMARY KEY, value text NOT NULL);
INSERT INTO settings SELECT 'setting ' || number, md5(number::text) FROM generate_series(1, 200) AS number;
