"""A database and a backup service for these tests, started once; no environment is released."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from backup_rig import Rig  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def edge_image() -> None:
    """Nothing here is of the edge's: in this folder no environment is released for its image."""


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig with its data, and a service that receives the log."""
    made = Rig(tmp_path_factory.mktemp("backup"))
    try:
        made.start()
        yield made
    finally:
        made.remove()
        made.engine.close()
