"""Which commit the working tree stands on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from slipway.run import Completed, run


@dataclass(frozen=True)
class GitFacts:
    """A commit (40 hexadecimal digits, empty outside a repository) and whether files differ."""

    commit: str
    changed: bool

    @property
    def short(self) -> str:
        """The commit as people write it, with a mark for a changed tree."""
        return (self.commit[:9] or "unversioned") + ("+changes" if self.changed else "")


def read(root: Path) -> GitFacts:
    """Read the commit of the checkout at `root`; without Git it is as outside a repository."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit.exit_code != 0:
        return GitFacts("", changed=False)
    status = _git(root, "status", "--porcelain")
    return GitFacts(commit.output.strip(), changed=bool(status.output.strip()))


def files(root: Path, folder: Path) -> tuple[Path, ...]:
    """The files below `folder` that Git tracks or would track, in a stable order.

    In a checkout without Git every file counts, but for bytecode.
    """
    options = ("-z", "--cached", "--others", "--exclude-standard")
    listed = _git(root, "ls-files", *options, "--", str(folder))
    if listed.exit_code == 0:
        found = {root / name for name in listed.output.split("\0") if name}
    else:
        found = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return tuple(sorted(path for path in found if path.is_file()))


def _git(root: Path, *words: str) -> Completed:
    if shutil.which("git") is None:
        return Completed(127, "", "git is not installed")
    return run(("git", "-C", str(root), *words), check=False)
