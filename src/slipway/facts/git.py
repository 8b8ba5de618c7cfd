"""Which commit the working tree stands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slipway.run import run


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
    """Read the commit of the checkout at `root`."""
    commit = run(("git", "-C", str(root), "rev-parse", "--verify", "HEAD"), check=False)
    if commit.exit_code != 0:
        return GitFacts("", changed=False)
    status = run(("git", "-C", str(root), "status", "--porcelain"), check=False)
    return GitFacts(commit.output.strip(), changed=bool(status.output.strip()))


def files(root: Path, folder: Path) -> tuple[Path, ...]:
    """The files below `folder` that Git tracks or would track, in a stable order.

    In a checkout without Git every file counts, but for bytecode.
    """
    listed = run(
        (
            *("git", "-C", str(root), "ls-files", "-z", "--cached", "--others"),
            *("--exclude-standard", "--", str(folder)),
        ),
        check=False,
    )
    if listed.exit_code == 0:
        found = {root / name for name in listed.output.split("\0") if name}
    else:
        found = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return tuple(sorted(path for path in found if path.is_file()))
