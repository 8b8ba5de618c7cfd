"""What is left for the user of a checkout is readable by those who need it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slipway import access
from slipway.config.layout import Layout


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_password_is_its_users_and_the_authority_is_everybodys(
    tmp_path: Path, umask: int
) -> None:
    layout = Layout(tmp_path)
    before = os.umask(umask)
    try:
        access.leave(layout, "dev", {"ca.crt": "C", "admin_password": "P", "jwt_secret": "J"})
    finally:
        os.umask(before)
    folder = access.folder(layout, "dev")
    modes = {
        path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in folder.iterdir()
    }
    assert modes == {"ca.crt": ("C", 0o644), "admin_password": ("P", 0o600)}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    access.leave(layout, "dev", {"admin_password": "a long one"})
    path = access.folder(layout, "dev") / "admin_password"
    path.chmod(0o644)
    access.leave(layout, "dev", {"admin_password": "new"})
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


def test_supplied_certificates_leave_no_authority(tmp_path: Path) -> None:
    access.leave(Layout(tmp_path), "dev", {"admin_password": "P"})
    (left,) = access.folder(Layout(tmp_path), "dev").iterdir()
    assert left.name == "admin_password"
