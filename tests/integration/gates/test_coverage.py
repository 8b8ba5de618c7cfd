"""The coverage settings count every file of every member, and what subprocesses run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from slipway.config.layout import checkout

TEST = """
import subprocess, sys, used
def test_it(tmp_path):
    used.called()
    subprocess.run([sys.executable, "-m", "child"], cwd=tmp_path, check=True)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with this project's settings: one file is used, one only by a child process."""
    shutil.copy(checkout().root / "pyproject.toml", tmp_path)
    settings = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    for source in settings["tool"]["coverage"]["run"]["source"]:
        (tmp_path / source).mkdir(parents=True)
    (tmp_path / "src/used.py").write_text("def called():\n    return 1\n", encoding="utf-8")
    (tmp_path / "src/child.py").write_text("RAN = True\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    return tmp_path


def coverage(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    environment = {**clean, "PYTHONPATH": str(tree / "src"), "COVERAGE_FILE": str(tree / "data")}
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def measure(tree: Path) -> None:
    """Run the tree's test and combine what it covered, as the gates do."""
    for arguments in (("run", "-m", "pytest", "-q", "test_it.py"), ("combine", "-q")):
        done = coverage(tree, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_child_process_runs_elsewhere_counts(tree: Path) -> None:
    measure(tree)
    report = coverage(tree, "report")
    assert report.returncode == 0, report.stdout
    assert "100.0%" in report.stdout


def test_a_file_that_nothing_imports_counts_as_zero_and_fails_its_member(tree: Path) -> None:
    (tree / "services/backend/src/package").mkdir()
    forgotten = tree / "services/backend/src/package/forgotten.py"
    forgotten.write_text("ONE = 1\nTWO = 2\n", encoding="utf-8")
    measure(tree)
    report = coverage(tree, "report", "--include=services/backend/src/*")
    assert report.returncode == 2
    assert "services/backend/src/package/forgotten.py" in report.stdout
    assert "0.0%" in report.stdout


def test_a_strong_member_does_not_hide_a_weak_one(tree: Path) -> None:
    (tree / "src/used.py").write_text("def called():\n" + "    x = 1\n" * 100, encoding="utf-8")
    (tree / "infra/toolbox/src/forgotten.py").write_text("ONE = 1\n", encoding="utf-8")
    measure(tree)
    assert coverage(tree, "report").returncode == 0
    assert coverage(tree, "report", "--include=infra/toolbox/src/*").returncode == 2
