"""The landing folder: what the environment may write to. Whoever writes there is not trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slipway_backup.disaster import PARTS

#: Listed before everything else, because it is written after what it names.
LAST_WRITTEN = ("restic/snapshots", "restic/index", "pgbackrest/backup")
#: How both tools call what they have not written to its end, and what only they need.
UNFINISHED = (".pgbackrest.tmp", "-restic-temp-")
NOT_KEPT = "restic/locks/"
#: Bytes of a path; neither tool has one that is half as long.
LONGEST = 512


class Moving(Exception):
    """A file went, or was written to, while it was read: the next look has it."""


@dataclass(frozen=True)
class Seen:
    """What tells whether a file is the same as before. Its user sets no `changed`."""

    bytes: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Seen:
        """What the system says of a file."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def look(root: Path) -> dict[str, Seen]:
    """The finished files of a repository in the folder; links and other things are passed over."""
    found: dict[str, Seen] = {}
    for part in (*LAST_WRITTEN, *PARTS):
        way = [root / part, *(root / part).parents][: len(Path(part).parts)]
        if not any(each.is_symlink() for each in way):
            # It may go while it is walked through.
            with suppress(FileNotFoundError, NotADirectoryError):
                _walk(root, part, found)
    return found


def _walk(root: Path, part: str, found: dict[str, Seen]) -> None:
    for place, _, names, folder in os.fwalk(root / part, follow_symlinks=False):
        for name in names:
            path = str((Path(place) / name).relative_to(root))
            if path in found or not wanted(path):
                continue
            with suppress(FileNotFoundError):
                told = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(told.st_mode):
                    found[path] = Seen.of(told)


def wanted(path: str) -> bool:
    """Whether a path is one of a repository's finished files."""
    return (
        len(os.fsencode(path)) <= LONGEST
        and not path.startswith(NOT_KEPT)
        and not any(each in path for each in UNFINISHED)
    )


@contextmanager
def opened(root: Path, path: str) -> Iterator[IO[bytes]]:
    """Read a file without following any link, whatever the folders on the way are by now.

    Raises Moving when it is gone, is no file, or was written to before it was read to its end.
    """
    *folders, name = Path(path).parts
    place = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in folders:
            below = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = below
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    except OSError as error:
        raise Moving(f"{path}: {error.strerror}") from None
    finally:
        os.close(place)
    with os.fdopen(handle, "rb") as stream:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise Moving(f"{path} is no file")
        yield stream
        if Seen.of(os.fstat(handle)) != Seen.of(before):
            raise Moving(f"{path} was written to")
