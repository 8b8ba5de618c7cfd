"""The commit and the files of a working tree, from a real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slipway.facts import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a")
    (tmp_path / ".gitignore").write_text("*.log\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "first")):
        subprocess.run(("git", "-C", str(tmp_path), *words), check=True)
    return tmp_path


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    found = git.read(repository)
    assert len(found.commit) == 40
    assert not found.changed
    assert found.short == found.commit[:9]


def test_a_changed_tree_is_marked(repository: Path) -> None:
    (repository / "src/a.py").write_text("b")
    assert git.read(repository).short.endswith("+changes")


def test_files_are_those_that_git_would_track(repository: Path) -> None:
    (repository / "src/new ü.py").write_text("n")
    (repository / "src/noise.log").write_text("l")
    (repository / "elsewhere.py").write_text("e")
    names = [path.name for path in git.files(repository, repository / "src")]
    assert names == ["a.py", "new ü.py"]


def test_a_file_that_was_deleted_does_not_count(repository: Path) -> None:
    (repository / "src/a.py").unlink()
    assert git.files(repository, repository / "src") == ()


@pytest.fixture(params=["no repository", "no git"])
def unversioned(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder that Git says nothing about, or a host without Git."""
    if request.param == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_git_there_is_no_commit(unversioned: Path) -> None:
    assert git.read(unversioned).short == "unversioned"


def test_without_git_every_file_counts_but_bytecode(unversioned: Path) -> None:
    (unversioned / "src/__pycache__").mkdir(parents=True)
    (unversioned / "src/a.py").write_text("a")
    (unversioned / "src/__pycache__/a.pyc").write_text("a")
    assert git.files(unversioned, unversioned / "src") == (unversioned / "src/a.py",)
