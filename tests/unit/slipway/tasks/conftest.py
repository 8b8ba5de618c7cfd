"""The stand-in engine that every test of the toolkit may use; the machine's own is out of reach."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "standin"))

from standin_engine import Standin
from standin_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A checkout on a stand-in engine that nothing was released to yet."""
    made = World(tmp_path, monkeypatch)
    with made.standin as standin:
        made.connect()
        yield made
        assert standin.unknown == []


@pytest.fixture
def standin(world: World) -> Standin:
    """The stand-in engine of this world."""
    return world.standin
