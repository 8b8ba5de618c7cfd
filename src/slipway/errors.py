"""The few kinds of failure a person meets, each with its exit code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def typed(command: str) -> str:
    """An `invoke ...` command with the program as this process was called, when that differs."""
    program = sys.argv[0]
    name = Path(program).name
    if not command.startswith("invoke ") or name not in {"invoke", "inv"}:
        return command
    return command if shutil.which(name) == program else program + command.removeprefix("invoke")


class SlipwayError(Exception):
    """Something failed; the message says what and where, `next_command` what to type next.

    `code` names the fault where it has a name (docs/reference/faults.md).
    """

    exit_code = 1

    def __init__(self, message: str, *, next_command: str | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_command = next_command
        self.code = code

    def __str__(self) -> str:
        said = f"{self.code}: {self.message}" if self.code else self.message
        return f"{said}\n  next: {typed(self.next_command)}" if self.next_command else said


class Refused(SlipwayError):
    """Refused before anything was touched."""

    exit_code = 2


class CommandFailed(SlipwayError):
    """A process ended with an exit code other than zero."""

    def __init__(
        self,
        argv: Sequence[str],
        exit_code: int,
        last_lines: Sequence[str],
        *,
        next_command: str | None = None,
    ) -> None:
        shown = " ".join(argv[:6]) + (" ..." if len(argv) > 6 else "")
        lines = "".join(f"\n    {line}" for line in last_lines)
        super().__init__(
            f"`{shown}` ended with exit code {exit_code}{lines}", next_command=next_command
        )
        self.argv = tuple(argv)
        self.process_exit_code = exit_code
        self.last_lines = tuple(last_lines)
