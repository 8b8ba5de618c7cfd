"""Settings that a test may change, over folders of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway_monitoring.settings import Settings


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Settings]:
    """Settings over folders of this test, with changes; `secrets` are the files that there are."""

    def made(*, secrets: tuple[str, ...] = (), **changes: Any) -> Settings:
        folder = tmp_path / "secrets"
        folder.mkdir(exist_ok=True)
        for name in secrets:
            (folder / name).write_text("content")
        own: dict[str, Any] = {"secrets_directory": folder, "work_directory": tmp_path / "work"}
        return Settings(**(own | changes))

    return made


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
