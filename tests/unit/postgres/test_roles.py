"""Each role is made once, given its password, and no more than its work needs."""

from __future__ import annotations

from pathlib import Path

from slipway_postgres import roles
from slipway_postgres.settings import PASSWORDS, Settings


def test_every_role_is_made_and_given_its_password(folder: Path) -> None:
    text = roles.statements(Settings("postgres", secrets=folder))
    assert set(roles.ATTRIBUTES) == set(PASSWORDS)
    for role, secret in PASSWORDS.items():
        assert f"SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS" in text
        assert f"ALTER ROLE {role} LOGIN {roles.ATTRIBUTES[role]} PASSWORD" in text
        assert f"PASSWORD '{secret} of it''s';" in text


def test_nobody_but_the_superuser_is_one_or_makes_roles() -> None:
    for role, attributes in roles.ATTRIBUTES.items():
        assert ("NOSUPERUSER" in attributes) is (role != "postgres")
        assert role == "postgres" or "NOCREATEROLE" in attributes
    may_replicate = {
        role for role, attributes in roles.ATTRIBUTES.items() if " REPLICATION" in attributes
    }
    assert may_replicate == {"slipway_replication", "slipway_backup"}


def test_the_reader_is_given_nothing_but_reading() -> None:
    granted = [each for each in (*roles.GRANTS, *roles.INSIDE) if "slipway_reader" in each]
    assert granted
    assert all(word not in each for each in granted for word in ("INSERT", "UPDATE", "ALL PRIV"))


def test_no_statement_with_a_password_is_logged(folder: Path) -> None:
    text = roles.statements(Settings("postgres", secrets=folder))
    first = text.index("PASSWORD")
    assert text.index("SET log_min_error_statement = panic") < first
    assert text.index("SET log_min_duration_statement = -1") < first


def test_a_plain_servers_role_of_backups_may_do_what_a_members_may(folder: Path) -> None:
    lines = roles.of_backups(Settings("", secrets=folder)).splitlines()
    assert "PASSWORD 'backup_password of it''s'" in lines[1]
    wanted = [each for each in (*roles.GRANTS, *roles.INSIDE) if "slipway_backup" in each]
    shared = "GRANT CONNECT ON DATABASE"
    assert {each for each in wanted if not each.startswith(shared)} <= set(lines)
    assert [each for each in lines if each.startswith(shared)] == [
        "GRANT CONNECT ON DATABASE slipway TO slipway_backup"
    ]


def test_a_plain_servers_role_of_backups_is_one_command_a_line(folder: Path) -> None:
    # Single-user mode takes a line for a command, and the server's words for an end.
    text = roles.of_backups(Settings("", secrets=folder))
    assert text.endswith("\n")
    assert all(each and not each.endswith(";") for each in text.splitlines())


def test_who_may_call_a_function_is_said_in_the_applications_database() -> None:
    assert not [each for each in roles.GRANTS if "FUNCTION" in each and "slipway_backup" in each]
    assert set(roles.OF_BACKUPS) < set(roles.INSIDE)
