"""Which files of a folder are uploaded, and under which source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class LocalFile:
    """A file to upload and what it is called within its collection."""

    path: Path
    source: str
    bytes: int


def find_files(
    folder: Path, *, prefix: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[LocalFile]:
    """Yield the regular files below a folder, in the order of their names.

    Patterns are compared with the path below the folder, its parts joined by ``/``, and with the
    name alone. Hidden files and folders are left out, and so are links, which may lead in circles.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            below = path.relative_to(folder).as_posix()
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            if include and not _matches(below, name, include):
                continue
            if _matches(below, name, exclude):
                continue
            yield LocalFile(path, f"{prefix}{below}", path.stat().st_size)


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes; raises OSError when it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _matches(below: str, name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(below, pattern) or fnmatchcase(name, pattern) for pattern in patterns)
