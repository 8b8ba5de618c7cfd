from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from slipway_backend.bulk.files import find_files, sha256_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.md", "a.pdf", "sub/c.md", "sub/deep/d.txt", ".hidden", ".git/config"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "link.md").symlink_to(tmp_path / "b.md")
    (tmp_path / "circle").symlink_to(tmp_path)
    return tmp_path


def sources(folder: Path, **options: object) -> list[str]:
    return [file.source for file in find_files(folder, **options)]  # type: ignore[arg-type]


def test_every_file_is_found_in_order_but_hidden_ones_and_links(folder: Path) -> None:
    assert sources(folder) == ["a.pdf", "b.md", "sub/c.md", "sub/deep/d.txt"]


def test_sources_begin_with_the_prefix(folder: Path) -> None:
    assert sources(folder, prefix="team/")[0] == "team/a.pdf"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"include": ["*.md"]}, ["b.md", "sub/c.md"]),
        ({"exclude": ["sub/*"]}, ["a.pdf", "b.md"]),
        ({"include": ["*.md", "*.txt"], "exclude": ["sub/deep/*"]}, ["b.md", "sub/c.md"]),
    ],
)
def test_patterns_mean_the_path_or_the_name(
    folder: Path, options: dict[str, list[str]], found: list[str]
) -> None:
    assert sources(folder, **options) == found


def test_the_digest_is_of_the_bytes(folder: Path) -> None:
    assert sha256_of(folder / "b.md") == hashlib.sha256(b"b.md").hexdigest()
