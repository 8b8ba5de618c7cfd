"""A stand-in engine for the tasks; the machine's own is out of reach of these tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "standin"))

import standin_backup
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


@pytest.fixture(scope="module")
def once_kept(first_release: World) -> World:
    """A world with backups and two points, made once and put back by `kept`."""
    with pytest.MonkeyPatch.context() as patch:
        first_release.restore()
        first_release.connect(patch)
        first_release.configure(backup=standin_backup.SCHEDULED)
        ended = first_release.release()
        assert ended.exit_code == 0, ended
        points = first_release.standin.points.setdefault("dev", [])
        standin_backup.made(points, (), 7200)
        standin_backup.made(points, (), 3600)
        first_release.remember("kept")
    return first_release


@pytest.fixture(scope="module")
def ended() -> dict[str, Any]:
    """A process of this host that has ended."""
    shown = "import json; from slipway import holders; print(json.dumps(holders.process()))"
    done = subprocess.run((sys.executable, "-c", shown), capture_output=True, check=True, text=True)
    process = json.loads(done.stdout)
    assert isinstance(process, dict)
    return process
