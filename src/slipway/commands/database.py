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


def status(container: str) -> Argv:
    """Print the data tier as one of its members sees it, as JSON."""
    return _member(container, "status")


def settle(container: str) -> Argv:
    """Have all members agree on the settings that this one was started with."""
    return _member(container, "settle")


def grant(container: str) -> Argv:
    """Apply roles and passwords; the member must be the primary."""
    return _member(container, "grant")


def switchover(container: str, target: str) -> Argv:
    """Have a replica, or the named one, take the writes over from the primary."""
    return _member(container, "switchover", *([target] if target else []))


def stop(container: str, seconds: int) -> Argv:
    """Ask a server to end in order, and kill it after `seconds`."""
    return ("docker", "stop", "--time", str(seconds), container)


def remove(container: str) -> Argv:
    """Remove a server's container; its volume stays."""
    return ("docker", "rm", "--force", container)


def _member(container: str, *words: str) -> Argv:
    return ("docker", "exec", container, "slipway-member", *words)
