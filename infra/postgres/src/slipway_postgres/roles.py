"""The roles of the database, each with the least that its work needs."""

from __future__ import annotations

from collections.abc import Sequence

from slipway_postgres.settings import PASSWORDS, Settings

DATABASE = "slipway"

# What each may beside connecting; the owner's own rights come from owning the database.
ATTRIBUTES = {
    "postgres": "SUPERUSER",
    "slipway": "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
    "slipway_replication": "NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION",
    "slipway_rewind": "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
    "slipway_reader": "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
    "slipway_monitor": "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
    "slipway_backup": "NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION",
}

GRANTS = (
    # What pg_rewind calls on the server that it copies from.
    "GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO slipway_rewind",
    "GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO slipway_rewind",
    "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO slipway_rewind",
    "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean)"
    " TO slipway_rewind",
    # Copying and rewinding a large database takes longer than any request may.
    "ALTER ROLE slipway_replication SET statement_timeout = 0",
    "ALTER ROLE slipway_rewind SET statement_timeout = 0",
    "ALTER ROLE slipway_backup SET statement_timeout = 0",
    "GRANT pg_monitor TO slipway_monitor",
    "GRANT pg_read_all_settings, pg_checkpoint TO slipway_backup",
    # What a recovery point holds is counted and summed in the database, while nobody writes.
    "GRANT pg_read_all_data, pg_maintain TO slipway_backup",
    f"GRANT CONNECT ON DATABASE {DATABASE} TO slipway_reader, slipway_monitor, slipway_backup",
)

# Who may call a function is said in each database: backups use the application's.
OF_BACKUPS = (
    "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO slipway_backup",
    "GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO slipway_backup",
    "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO slipway_backup",
    "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO slipway_backup",
)

# In the database itself. New tables come with migrations, which the owner runs.
INSIDE = (
    *OF_BACKUPS,
    "CREATE EXTENSION IF NOT EXISTS vector",
    "ALTER EXTENSION vector UPDATE",
    "GRANT USAGE ON SCHEMA public TO slipway_reader",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO slipway_reader",
    "ALTER DEFAULT PRIVILEGES FOR ROLE slipway IN SCHEMA public"
    " GRANT SELECT ON TABLES TO slipway_reader",
)


def of_backups(settings: Settings) -> str:
    """SQL for a plain server in single-user mode, one command a line: the role of backups."""
    return _alone(settings, "slipway_backup", OF_BACKUPS)


def of_monitoring(settings: Settings) -> str:
    """SQL for a plain server in single-user mode, one command a line: who reads figures."""
    return _alone(settings, "slipway_monitor", ())


def _alone(settings: Settings, role: str, inside: Sequence[str]) -> str:
    password = settings.password(role).replace("'", "''")
    lines = [
        # Not by catching the error: in single-user mode any error ends the server.
        f"DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"  # nosec B608
        f" THEN CREATE ROLE {role}; END IF; END$$",
        f"ALTER ROLE {role} LOGIN {ATTRIBUTES[role]} PASSWORD '{password}'",
        *(each for each in GRANTS if each.endswith(f" TO {role}") or f" ROLE {role} " in each),
        *inside,
        f"GRANT CONNECT ON DATABASE {DATABASE} TO {role}",
    ]
    return "\n".join(lines) + "\n"


def statements(settings: Settings) -> str:
    """SQL for the primary, which may run as often as wanted; it holds the passwords."""
    lines = [
        # Neither a failing nor a slow statement is logged: they have passwords in them.
        "SET log_min_error_statement = panic;",
        "SET log_min_duration_statement = -1;",
        "SET client_min_messages = warning;",
        "BEGIN;",
    ]
    for role in PASSWORDS:
        # The names are the table's above, not anybody's input.
        lines.append(
            f"SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS"  # nosec B608
            f" (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec"
        )
        password = settings.password(role).replace("'", "''")
        lines.append(f"ALTER ROLE {role} LOGIN {ATTRIBUTES[role]} PASSWORD '{password}';")
    lines += [f"{each};" for each in GRANTS]
    lines += ["COMMIT;", f"\\connect {DATABASE}", *(f"{each};" for each in INSIDE)]
    return "\n".join(lines) + "\n"
