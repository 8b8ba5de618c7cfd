"""An image's hash changes with its inputs, and with nothing else, in a real repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.config.layout import Layout
from slipway.facts import images

BASE = "sha256:base"
DOCKERFILE = """ARG BASE
FROM ${BASE} AS runtime
COPY --link --from=requirements ${SERVICE}.txt build.txt /locks/
COPY src /app
"""
FILES = {
    "docker-bake.hcl": "",
    "services/Dockerfile": DOCKERFILE,
    "services/backend/src/app.py": "print()",
    "requirements/backend.txt": "left==1",
    "requirements/build.txt": "hatch==1",
    "requirements/edge.txt": "right==1",
    ".gitignore": "*.log\n__pycache__/\n",
}
TARGET = {
    "context": "services/backend",
    "dockerfile": "../Dockerfile",
    "contexts": {"requirements": "requirements"},
    "args": {"SERVICE": "backend", "VERSION": "1"},
    "target": "runtime",
}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A repository with one image; a program prints what buildx would make of the bake file."""
    root = tmp_path / "checkout"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    subprocess.run(("git", "-C", str(root), "init", "-q"), check=True)
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -SE\nprint(open({str(tmp_path / 'bake.json')!r}).read())"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    describe(Layout(root), {})
    return Layout(root)


def describe(layout: Layout, changes: dict[str, Any]) -> None:
    described = {"target": {"backend": TARGET | changes}}
    (layout.root.parent / "bake.json").write_text(json.dumps(described))


def read(layout: Layout, base: str = BASE) -> str:
    (found,) = images.read(layout, base)
    assert found.name == "backend"
    return found.input_hash


def write(name: str, content: str = "changed") -> Callable[[Layout], object]:
    def change(layout: Layout) -> None:
        (layout.root / name).parent.mkdir(exist_ok=True)
        (layout.root / name).write_text(content)

    return change


CHANGES: dict[str, tuple[Callable[[Layout], object], bool]] = {
    "nothing": (lambda layout: None, False),
    "a file": (write("services/backend/src/app.py"), True),
    "a new file": (write("services/backend/src/new.py"), True),
    "a file that is gone": (
        lambda layout: (layout.root / "services/backend/src/app.py").unlink(),
        True,
    ),
    "a file's name": (
        lambda layout: (layout.root / "services/backend/src/app.py").rename(
            layout.root / "services/backend/src/main.py"
        ),
        True,
    ),
    "a mode": (lambda layout: (layout.root / "services/backend/src/app.py").chmod(0o755), True),
    "the Dockerfile": (write("services/Dockerfile", DOCKERFILE + "USER 1\n"), True),
    "an argument": (lambda layout: describe(layout, {"args": {"VERSION": "2"}}), True),
    "the stage": (lambda layout: describe(layout, {"target": "other"}), True),
    "its lock": (write("requirements/backend.txt"), True),
    "a second lock that it takes": (write("requirements/build.txt"), True),
    "a lock of another": (write("requirements/edge.txt"), False),
    "an ignored file": (write("services/backend/src/noise.log"), False),
    "bytecode": (write("services/backend/__pycache__/app.pyc"), False),
    "a file of another": (write("services/other.py"), False),
    "the times of a file": (
        lambda layout: os.utime(layout.root / "services/backend/src/app.py", (1, 1)),
        False,
    ),
}


@pytest.mark.parametrize(("change", "changes"), CHANGES.values(), ids=CHANGES)
def test_the_hash_changes_with_the_inputs(
    layout: Layout, change: Callable[[Layout], object], changes: bool
) -> None:
    before = read(layout)
    change(layout)
    assert (read(layout) != before) is changes


def test_another_base_makes_another_image(layout: Layout) -> None:
    assert read(layout) != read(layout, "sha256:newer")


def test_a_folder_that_the_dockerfile_takes_whole_counts_whole(layout: Layout) -> None:
    write("services/Dockerfile", "FROM base\nCOPY src /app\n")(layout)
    before = read(layout)
    write("requirements/edge.txt")(layout)
    assert read(layout) != before


def test_a_variable_that_no_argument_fills_stands_for_every_file(layout: Layout) -> None:
    describe(layout, {"args": {}})
    before = read(layout)
    write("requirements/edge.txt")(layout)
    assert read(layout) != before
