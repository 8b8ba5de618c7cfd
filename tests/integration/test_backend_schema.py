"""Two releases on one database."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from slipway_backend import schema
from slipway_backend.migrate import OPTIONS, migrate
from slipway_backend.schema import MIGRATIONS
from slipway_backend.settings import Settings

REVISION = """
from alembic import op
revision, down_revision = {revision!r}, {before!r}
branch_labels = depends_on = None
phase = {phase!r}
def upgrade():
    op.execute({statement!r})
"""
# What the code of release 0001 sends, as it was.
INSERT = """
INSERT INTO documents (owner_id, idempotency_key, filename, media_type, bytes, sha256)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (owner_id, idempotency_key) DO NOTHING RETURNING id
"""
COPY = (
    "COPY chunks (document_id, embedding_set_id, position, page, heading, text, tokens,"
    " embedding) FROM STDIN"
)
READY = (
    "UPDATE documents SET status = 'ready', error = NULL, media_type = %s, pages = %s,"
    " chunks = %s, updated_at = now() WHERE id = %s"
)
SEARCH = """
SELECT chunks.text, embedding <=> %(vector)s::halfvec AS distance
FROM chunks, websearch_to_tsquery('english', 'ferry') AS asked
WHERE chunks.lexemes @@ asked ORDER BY embedding <=> %(vector)s::halfvec LIMIT 60
"""
VECTOR = "[" + ",".join(["1"] + ["0"] * 383) + "]"


def revisions(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A folder of migrations: revision, phase and statement of each."""
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    shutil.copy(MIGRATIONS / "env.py", folder)
    before = None
    for revision, phase, statement in changes:
        text = REVISION.format(revision=revision, before=before, phase=phase, statement=statement)
        (versions / f"v{revision}.py").write_text(text)
        before = revision
    return folder


def names(changes: list[schema.Change]) -> list[str]:
    return [change.revision for change in changes]


def test_what_only_the_release_before_needed_goes_with_the_release_after(
    empty_database: str, tmp_path: Path
) -> None:
    first = ("1", "expand", "CREATE TABLE things (old text)")
    second = ("2", "expand", "ALTER TABLE things ADD COLUMN new text")
    third = ("3", "contract", "ALTER TABLE things DROP COLUMN old")
    folder = revisions(tmp_path, first)
    assert names(schema.upgrade(empty_database, "a", options=OPTIONS, folder=folder)[0]) == ["1"]
    revisions(tmp_path, first, second, third)
    for expected in (["2"], []):
        now, later = schema.upgrade(empty_database, "b", options=OPTIONS, folder=folder)
        assert (names(now), names(later)) == (expected, ["3"])
    with psycopg.connect(empty_database) as connection:
        connection.execute("INSERT INTO things (old, new) VALUES ('both', 'work')")
    now, later = schema.upgrade(empty_database, "c", options=OPTIONS, folder=folder)
    assert (names(now), names(later)) == (["3"], [])
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT * FROM things").fetchall() == [("work",)]


def old_release_uploads(connection: psycopg.Connection[Any], owner: Any) -> Any:
    """What release 0001 does for one document, from upload to search; returns its id."""
    row = connection.execute(
        INSERT, [owner, f"key:{uuid4()}", "old.md", "text/markdown", 9, uuid4().hex]
    ).fetchone()
    assert row is not None
    connection.execute("DELETE FROM chunks WHERE document_id = %s", [row[0]])
    connection.execute(
        "INSERT INTO embedding_sets (id, model, dimension) VALUES (1, 'model', 384)"
        " ON CONFLICT (id) DO NOTHING"
    )
    with connection.cursor().copy(COPY) as copy:
        copy.write_row((row[0], 1, 0, None, "Ferry", "The ferry leaves.", 4, VECTOR))
    connection.execute(READY, ["text/markdown", None, 1, row[0]])
    found = connection.execute(SEARCH, {"vector": VECTOR}).fetchall()
    assert ("The ferry leaves.", 0.0) in found
    return row[0]


def test_the_release_before_goes_on_working_and_its_documents_are_served(
    settings: Settings,
) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        owner = connection.execute("SELECT id FROM users").fetchone()
        assert owner is not None
        document = old_release_uploads(connection, owner[0])
        served = connection.execute(
            "SELECT collection_id, version, served_version, served_sha256 = sha256"
            " FROM documents WHERE id = %s",
            [document],
        ).fetchone()
        assert served == (1, 1, 1, True)
        connection.execute("DELETE FROM documents WHERE id = %s", [document])
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,)


def test_a_database_of_the_release_before_keeps_everything(
    empty_database: str, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "before"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__", "v000[23]*"))
    schema.upgrade(empty_database, "0001", options=OPTIONS, folder=folder)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        owner = connection.execute(
            "INSERT INTO users (username, password_hash, role) VALUES ('ada', 'x', 'editor')"
            " RETURNING id"
        ).fetchone()
        assert owner is not None
        old_release_uploads(connection, owner[0])
        old_release_uploads(connection, owner[0])
    migrate(settings.model_copy(update={"database_url": empty_database, "release": "0002"}))
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute(
            "SELECT served_version, (SELECT count(*) FROM chunks WHERE document_id = documents.id"
            " AND embedding_set_id = 1) FROM documents"
        )
        assert rows.fetchall() == [(1, 1), (1, 1)]
        assert connection.execute("SELECT count(DISTINCT source) FROM documents").fetchone() == (2,)


def test_an_index_whose_building_was_cut_off_is_built_by_the_next_run(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        invalid = (
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'chunks_embedding_1'::regclass"
        )
        connection.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'chunks_embedding_1'::regclass"
        )
        migrate(settings)
        assert connection.execute(invalid).fetchone() == (True,)
