"""The freshness hook says what is stale, and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.gates import lock


def test_a_folder_without_members_fails_and_names_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lock.main() == 1
    said = capsys.readouterr().err
    assert "pyproject.toml: not there" in said
    assert said.endswith("next: invoke lock\n")
