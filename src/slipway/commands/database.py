"""Command lines that ask the database of an environment, from inside its own container."""

from __future__ import annotations

Argv = tuple[str, ...]

# Without the tables of the schema the answer is empty: that database was never migrated.
_SCHEMA = """
SELECT json_build_object('current', (SELECT version_num FROM alembic_version),
  'applied', COALESCE((SELECT json_object_agg(revision, release) FROM schema_changes), '{}'))
"""


def schema(container: str) -> Argv:
    """Print the schema's revision, and which release applied which, as one JSON object."""
    return (
        *("docker", "exec", container, "psql", "--no-psqlrc", "--tuples-only", "--no-align"),
        *("--username=postgres", "--dbname=slipway", f"--command={' '.join(_SCHEMA.split())}"),
    )
