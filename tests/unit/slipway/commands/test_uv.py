"""What is asked of uv, word for word."""

from __future__ import annotations

from pathlib import Path

from slipway.commands import uv


def test_compiling_keeps_indexes_and_folders_out_of_the_lock() -> None:
    assert uv.pip_compile(Path("out.txt"), python="3.11", constraints=Path("all.txt")) == (
        uv.binary(),
        "pip",
        "compile",
        "-",
        "--output-file=out.txt",
        "--python-version=3.11",
        "--universal",
        "--no-header",
        "--no-annotate",
        "--only-binary=:all:",
        "--no-binary=llama-cpp-python",
        "--quiet",
        "--generate-hashes",
        "--constraints=all.txt",
    )


def test_one_package_can_be_let_go() -> None:
    command = uv.pip_compile(
        Path("out.txt"), python="3.11", hashes=False, upgrade_packages=("ruff", "mypy")
    )
    assert command[-2:] == ("--upgrade-package=ruff", "--upgrade-package=mypy")
    assert "--generate-hashes" not in command
