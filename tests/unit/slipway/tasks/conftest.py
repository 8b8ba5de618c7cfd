"""A stand-in engine for the tasks; the machine's own is out of reach of these tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "standin"))

from standin_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A checkout and a stand-in engine that nothing was released to yet."""
    made = World(tmp_path)
    with made.standin as standin:
        made.connect(monkeypatch)
        yield made
        assert standin.unknown == []


@pytest.fixture(scope="session")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which the first release is done; made once, and put back by `released`."""
    made = World(tmp_path_factory.mktemp("released"))
    with made.standin:
        with pytest.MonkeyPatch.context() as patch:
            made.connect(patch)
            ended = made.release()
        assert ended.exit_code == 0, ended
        made.save()
        yield made


@pytest.fixture
def released(first_release: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world that serves generation 1, as its first release left it."""
    first_release.restore()
    first_release.connect(monkeypatch)
    yield first_release
    assert first_release.standin.unknown == []
