"""setup.sh says what is missing, and does nothing when nothing is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from slipway.config.layout import checkout

TOOLS = ("sh", "dirname", "cat", "cmp", "rm")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout's set-up files, in a folder whose name has a space, and a PATH with few tools."""
    root = tmp_path / "a checkout"
    shutil.copytree(checkout().root / "requirements", root / "requirements")
    shutil.copy(checkout().root / "setup.sh", root)
    (root / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (root / "bin" / tool).symlink_to(found)
    return root


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def set_up(tree: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(tree / "bin"), "HOME": str(tree)}
    command = ["/bin/sh", str(tree / "setup.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_python_the_package_is_named(tree: Path) -> None:
    done = set_up(tree)
    assert done.returncode == 2
    assert "there is no python3 here" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_a_python_that_is_too_old_is_named_with_its_version(tree: Path) -> None:
    program(tree / "bin/python3", 'case "$2" in *platform*) echo 3.10.12;; *) exit 1;; esac')
    done = set_up(tree)
    assert done.returncode == 2
    assert "python3 is 3.10.12, and 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3.11 python3.11-venv" in done.stderr


def test_a_python_without_its_venv_package_is_named_with_that_package(tree: Path) -> None:
    program(
        tree / "bin/python3",
        'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11;; *) exit 0;; esac',
    )
    done = set_up(tree)
    assert done.returncode == 2
    assert "apt-get install python3.11-venv" in done.stderr
    assert not (tree / ".venv").exists()


def stamp(tree: Path) -> Path:
    program(tree / ".venv/bin/python", "exit 1")
    parts = ("requirements/uv.txt", "requirements/toolkit.txt", "setup.sh")
    text = f"{tree}\n" + "".join((tree / part).read_text(encoding="utf-8") for part in parts)
    file = tree / ".venv/.slipway-complete"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_current_environment_is_left_alone_without_looking_for_python(tree: Path) -> None:
    stamp(tree)
    done = set_up(tree)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("change", ["lock", "moved", "interrupted"])
def test_an_environment_that_does_not_fit_is_made_again(tree: Path, change: str) -> None:
    file = stamp(tree)
    if change == "lock":
        (tree / "requirements/toolkit.txt").write_text("invoke==9\n", encoding="utf-8")
    elif change == "moved":
        file.write_text(f"/elsewhere{file.read_text(encoding='utf-8')}", encoding="utf-8")
    else:
        file.unlink()
    assert "there is no python3 here" in set_up(tree).stderr
