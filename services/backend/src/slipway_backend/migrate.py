"""The release step that brings a database to this release: schema, job queue, admin user."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import resources

import psycopg
from procrastinate.schema import SchemaManager

from slipway_backend import schema
from slipway_backend.access import Role
from slipway_backend.errors import StartRefused
from slipway_backend.logs import get_logger
from slipway_backend.security import hash_password, verify_password
from slipway_backend.settings import Settings

# Any fixed number does; every migrating process must use the same.
ADVISORY_LOCK = 7_301_954_001
LOCK_TIMEOUT = "10s"
TURN_SECONDS = 600.0
TURN_PAUSE_SECONDS = 0.2
# An index over many chunks takes longer than the server lets an ordinary statement run.
OPTIONS = f"-c statement_timeout=0 -c lock_timeout={LOCK_TIMEOUT}"


def migrate(settings: Settings) -> None:
    """Upgrade the schema, apply the queue's schema, create or refresh the users of the settings.

    Two runs at once wait for each other. Running again changes nothing. Raises StartRefused when
    the password is missing, the database cannot be reached, or a lock is not given in time.
    """
    conninfo = settings.require_database()
    password = settings.require_admin_password()
    log = get_logger()
    try:
        with psycopg.connect(
            conninfo, autocommit=True, connect_timeout=10, options=OPTIONS
        ) as connection:
            _take_turn(connection)
            now, later = schema.upgrade(conninfo, settings.release, options=OPTIONS)
            log.info(
                "schema_current",
                applied=[change.revision for change in now],
                left_for_the_next_release=[change.revision for change in later],
            )
            applied = _apply_queue_schema(connection, settings.release)
            log.info("queue_schema_current", applied=applied)
            outcome = _refresh(connection, settings.admin_username, password, "admin")
            log.info("admin_user", username=settings.admin_username, outcome=outcome)
            if settings.probe_password:
                probe = settings.probe_username
                outcome = _refresh(connection, probe, settings.probe_password, "editor")
                log.info("probe_user", username=probe, outcome=outcome)
    except psycopg.errors.LockNotAvailable:
        raise StartRefused(
            f"A table stayed locked for {LOCK_TIMEOUT}: nothing was changed by the failed step; "
            "end the long transaction and run `slipway-backend migrate` again."
        ) from None
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise StartRefused(
            f"The database cannot be used ({reason}): check DATABASE_URL and that PostgreSQL "
            "runs, then run `slipway-backend migrate` again."
        ) from None


def _take_turn(connection: psycopg.Connection) -> None:
    """Wait until no other process migrates this database; raise StartRefused when one goes on."""
    until = time.monotonic() + TURN_SECONDS
    # Asked again and again instead of waited for: an index built concurrently waits for every
    # statement that runs, and so would wait for the one that waits for it.
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK]).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > until:
            raise StartRefused(
                f"Another process has been migrating this database for {TURN_SECONDS:g} seconds: "
                "wait for it, then run `slipway-backend migrate` again."
            )
        time.sleep(TURN_PAUSE_SECONDS)


def _apply_queue_schema(connection: psycopg.Connection, release: str) -> list[str]:
    """Apply procrastinate's schema once, then its migrations that are new since.

    Its "post" migrations are what `schema` calls contract: they wait for the next release.
    """
    folder = resources.files("procrastinate.sql").joinpath("migrations")
    known = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    with connection.transaction():
        connection.execute(
            "CREATE TABLE IF NOT EXISTS queue_migrations (name text PRIMARY KEY,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute(
            "ALTER TABLE queue_migrations"
            " ADD COLUMN IF NOT EXISTS release text NOT NULL DEFAULT ''"
        )
        found = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
        if found is None or found[0] is None:
            connection.execute(SchemaManager.get_schema())
            applied, remembered = ["schema"], known
        else:
            done: dict[str, str] = dict(
                connection.execute("SELECT name, release FROM queue_migrations").fetchall()
            )
            applied = remembered = queue_changes_due(known, done, release)
            for name in applied:
                connection.execute(folder.joinpath(name).read_bytes())
        for name in remembered:
            connection.execute(
                "INSERT INTO queue_migrations (name, release) VALUES (%s, %s)"
                " ON CONFLICT DO NOTHING",
                [name, release],
            )
    return applied


def queue_changes_due(known: Sequence[str], done: Mapping[str, str], release: str) -> list[str]:
    """Which of procrastinate's migrations to apply now; ``done`` says which release applied which.

    The last "post" ones wait for another release than the one that applied the "pre" before them.
    """
    pending = [name for name in known if name not in done]
    last = max((place for place, name in enumerate(pending) if "_post_" not in name), default=-1)
    if last >= 0:
        return pending[: last + 1]
    own = any(by == release and "_post_" not in name for name, by in done.items())
    return [] if own and release not in schema.ALONE else pending


def _refresh(connection: psycopg.Connection, username: str, password: str, role: Role) -> str:
    """Give a user of the settings their password; one that is not there yet gets the role."""
    row = connection.execute(
        "SELECT password_hash FROM users WHERE username = %s", [username]
    ).fetchone()
    if row is not None and verify_password(row[0], password):
        return "unchanged"
    hashed = hash_password(password)
    with connection.transaction():
        connection.execute(
            "INSERT INTO users (username, password_hash, role) VALUES (%s, %s, %s)"
            " ON CONFLICT (username) DO UPDATE SET password_hash = excluded.password_hash,"
            " sessions_ended_at = now(), updated_at = now()",
            [username, hashed, role],
        )
        # A password is changed because somebody may know it, and may have logged in with it.
        connection.execute(
            "UPDATE sessions SET revoked_at = now() FROM users"
            " WHERE users.id = sessions.user_id AND username = %s AND revoked_at IS NULL",
            [username],
        )
    return "created" if row is None else "password refreshed"
