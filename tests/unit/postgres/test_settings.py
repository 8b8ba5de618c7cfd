"""What a member is told is checked before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway_postgres import settings
from slipway_postgres.errors import MemberError


def test_name_mode_and_settings_are_read(folder: Path) -> None:
    environment = {"MEMBER": "postgres-2", "SECRETS_DIRECTORY": str(folder)}
    found = settings.read(environment, ["-c", "max_connections=200", "--work-mem=1MB"])
    assert (found.name, found.synchronous) == ("postgres-2", True)
    assert not found.backups
    assert settings.read(environment | {"BACKUPS": "on"}).backups
    assert found.given == {"max_connections": "200", "work_mem": "1MB"}
    assert not settings.read(environment | {"SYNCHRONOUS": "off"}).synchronous
    assert found.password("slipway_rewind") == "rewind_password of it's"


@pytest.mark.parametrize(
    ("environment", "arguments", "said"),
    [
        ({}, [], "MEMBER is not set"),
        ({"MEMBER": "a", "SYNCHRONOUS": "maybe"}, [], "SYNCHRONOUS is 'maybe'"),
        ({"MEMBER": "a", "BACKUPS": "yes"}, [], "BACKUPS is 'yes'"),
        ({"MEMBER": "a"}, ["-c", "work_mem"], "'work_mem' is no setting"),
        ({"MEMBER": "a"}, ["-x"], "'-x' is no setting"),
    ],
)
def test_what_is_wrong_is_named(
    environment: dict[str, str], arguments: list[str], said: str
) -> None:
    with pytest.raises(MemberError, match=said):
        settings.read(environment, arguments)


def test_a_missing_secret_is_named_with_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match=r"data\.key is missing; mount the volume of secrets at"):
        settings.Settings("postgres", secrets=tmp_path).file("data.key")
