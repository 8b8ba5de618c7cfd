"""A backup service that does not answer is told from one that has nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.facts import backup


def test_a_service_that_does_not_answer_in_time_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = tmp_path / "docker"
    hung.write_text("#!/bin/sh\nexec sleep 30\n")
    hung.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(backup, "LIST_SECONDS", 0.2)
    assert backup.read("any") is None
