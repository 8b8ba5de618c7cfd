"""Settings that a test may change, over folders of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway_backup.points import Point
from slipway_backup.settings import Settings

KEY = "k" * 40


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Settings]:
    """Settings over folders of this test, with changes."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("data_ca.crt", "backup.crt", "backup.key"):
        (secrets / name).write_text("PEM")

    def made(**changes: Any) -> Settings:
        own: dict[str, Any] = {
            "secrets_directory": secrets,
            "repository_directory": tmp_path / "repository",
            "work_directory": tmp_path / "work",
            "files_directory": tmp_path / "files",
            "state_directory": tmp_path / "state",
            "backup_key": KEY,
            "backup_token": "token",
            "backup_password": "password",
        }
        return Settings(**(own | changes))

    return made


@pytest.fixture
def own(make: Callable[..., Settings]) -> Settings:
    """Settings over folders of this test."""
    return make()


@pytest.fixture
def point() -> Callable[..., Point]:
    """A point, with changes."""

    def made(**changes: Any) -> Point:
        told: dict[str, Any] = {
            "id": "20261129T120000Z-0001",
            "time": "2026-11-29T12:00:00+00:00",
            "kind": "full",
            "name": "",
            "database": {
                "lsn": "0/3000000",
                "restore_point": "slipway-20261129T120000Z-0001",
                "timeline": 1,
                "first_segment": "000000010000000000000003",
                "last_segment": "000000010000000000000005",
                "bytes": 1000,
                "added_bytes": 10,
                "labels": {"1": "20261129-120000F"},
            },
            "files": {"count": 1, "bytes": 2, "deleted": []},
            "release": {},
            "schema": "0003",
            "extensions": {"vector": "0.8.0"},
            "indexes": [],
            "fingerprints": {"public.chunks": {"rows": 200, "sums": "ab"}},
            "passage": None,
        }
        return Point(**(told | changes))

    return made
