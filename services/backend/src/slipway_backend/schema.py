"""Schema changes in two phases, so that two releases can work on one database side by side.

An *expand* revision adds; the release before goes on working. A *contract* revision removes what
only that release needed, so it waits until another release than the one that expanded is put up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

Phase = Literal["expand", "contract"]
MIGRATIONS = Path(__file__).parent / "migrations"
# Nobody else serves such an instance while it is migrated.
ALONE = frozenset({"unreleased", "embedded"})

REMEMBERED = """
CREATE TABLE IF NOT EXISTS schema_changes (
    revision text PRIMARY KEY,
    release text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Change:
    """One revision and what is known of it; ``applied_by`` is a release, None while pending."""

    revision: str
    phase: Phase
    applied_by: str | None = None


def due(changes: Sequence[Change], release: str) -> tuple[list[Change], list[Change]]:
    """Split the pending changes, oldest first, into those to apply now and those that wait.

    A contract waits for another release than the one that applied any change before it, and all
    that follows it waits too. A database without any change is nobody's yet, so nothing waits.
    """
    pending = [change for change in changes if change.applied_by is None]
    if len(pending) == len(changes) or release in ALONE:
        return pending, []
    expanded_now = any(
        change.phase == "expand" and change.applied_by == release for change in changes
    )
    for place, change in enumerate(pending):
        if change.phase == "contract" and expanded_now:
            return pending[:place], pending[place:]
        expanded_now = expanded_now or change.phase == "expand"
    return pending, []


def upgrade(
    conninfo: str, release: str, *, options: str, folder: Path = MIGRATIONS
) -> tuple[list[Change], list[Change]]:
    """Apply the changes that are due for ``release``; return them and those that wait.

    Raises what psycopg raises; changes applied before a failure stay and are remembered.
    """
    # libpq reads the address itself, so that strings with several hosts work here too.
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(conninfo, options=options),
        poolclass=sqlalchemy.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(folder))
    try:
        with psycopg.connect(conninfo, autocommit=True, options=options) as memory:
            memory.execute(REMEMBERED)
            with engine.connect() as connection:
                config.attributes["connection"] = connection
                current = MigrationContext.configure(connection).get_current_revision()
                connection.rollback()
                now, later = due(_changes(config, current, memory), release)
                for change in now:
                    command.upgrade(config, change.revision)
                    memory.execute(
                        "INSERT INTO schema_changes (revision, release) VALUES (%s, %s)"
                        " ON CONFLICT DO NOTHING",
                        [change.revision, release],
                    )
            _repair(memory)
    except sqlalchemy.exc.DBAPIError as error:
        raise error.orig or error from None
    return now, later


def _repair(connection: psycopg.Connection) -> None:
    """Build anew what a cut-off concurrent build left, which no query uses."""
    left = connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid AND indexrelid"
        " NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)"
    ).fetchall()
    # CVE-2026-3172: parallel HNSW builds overflow a buffer in pgvector before 0.8.2.
    connection.execute("SET max_parallel_maintenance_workers = 0")
    for (name,) in left:
        connection.execute(f"REINDEX INDEX CONCURRENTLY {name}".encode())


def _changes(config: Config, current: str | None, memory: psycopg.Connection) -> list[Change]:
    """Every revision, oldest first; those applied before releases were remembered are nobody's."""
    known: dict[str, str] = dict(
        memory.execute("SELECT revision, release FROM schema_changes").fetchall()
    )
    script = ScriptDirectory.from_config(config)
    applied = {each.revision for each in script.iterate_revisions(current, "base")}
    revisions: list[Script] = list(script.walk_revisions())[::-1]
    return [
        Change(
            each.revision,
            phase_of(each.module),
            known.get(each.revision, "") if each.revision in applied else None,
        )
        for each in revisions
    ]


def phase_of(module: Any) -> Phase:
    """The phase that a revision's module names; raises ValueError when it names none."""
    phase = getattr(module, "phase", None)
    if phase not in ("expand", "contract"):
        raise ValueError(f"{module.__file__}: say phase = 'expand' or 'contract'")
    return cast("Phase", phase)
