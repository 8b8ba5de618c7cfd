"""What goes wrong: one sentence, and what to do next."""

from __future__ import annotations

import psycopg

#: What the system and the database raise in classes of their own.
OTHERS = (OSError, psycopg.Error)


class BackupError(Exception):
    """Something failed; `next` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, next: str = "") -> None:
        super().__init__(message)
        self.next = next


class Failed(BackupError):
    """What was asked for was tried, and failed."""


class Refused(BackupError):
    """What was asked for was not begun."""

    exit_code = 2


def own(error: Exception) -> BackupError:
    """An error of the system's or the database's as one of these; one of these as it is."""
    if isinstance(error, BackupError):
        return error
    said = str(error).strip() or type(error).__name__
    return Failed(said, "slipway-backup status, and the log of postgres")


class WrongKey(Failed):
    """The key does not open the repository. Nothing in it was changed."""

    def __init__(self, repository: str) -> None:
        super().__init__(
            f"the key does not open {repository}; nothing in it was changed",
            "give the key that this repository was made with: docs/runbooks/backup-key.md",
        )
