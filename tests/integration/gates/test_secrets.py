"""The secret scan, with this project's settings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from slipway.config.layout import checkout

PLANTED = {
    "private key": "-----BEGIN EC PRIVATE" + " KEY-----\n",
    "access key": "AKIA" + "IOSFODNN7" + "QWERTYU\n",
    "token": "ghp_" + "A1b2C3d4E5" * 3 + "F6g7H8\n",
}


def scan(folder: Path) -> int:
    baseline = folder / ".secrets.baseline"
    shutil.copy(checkout().root / ".secrets.baseline", baseline)
    program = shutil.which("detect-secrets-hook")
    assert program
    command = [program, "--no-verify", f"--baseline={baseline}", "settings.txt"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found(kind: str, tmp_path: Path) -> None:
    (tmp_path / "settings.txt").write_text(PLANTED[kind], encoding="utf-8")
    assert scan(tmp_path) == 1


def test_ordinary_text_is_not(tmp_path: Path) -> None:
    (tmp_path / "settings.txt").write_text("replicas: 2\n", encoding="utf-8")
    assert scan(tmp_path) == 0
