"""A member's secrets, as a release hands them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway_postgres.settings import PASSWORDS

CERTIFICATES = ("data_ca.crt", "data.crt", "data.key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PASSWORDS.values():
        (tmp_path / name).write_text(f"{name} of it's\n")
    for name in CERTIFICATES:
        (tmp_path / name).write_text("PEM")
    return tmp_path
