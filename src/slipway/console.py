"""What a person sees: sentences, phases with their seconds, and questions."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from slipway.errors import Refused

PHASE_WIDTH = 46

Progress = Callable[[str], None]


def say(text: str = "") -> None:
    """Print one line at once, also when the output is a pipe."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print one line on the error stream."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def confirm_name(question: str, name: str, typed: str, *, flag: str) -> None:
    """Have `name` typed back; `typed` does that beforehand.

    Raises Refused when anything else was typed, or when there is no terminal to ask on.
    """
    if not typed:
        if not sys.stdin.isatty():
            raise Refused(f"{question} There is no terminal to ask on: give {flag} {name}")
        typed = input(f"{question} Type its name to go on: ").strip()
    if typed != name:
        raise Refused(f"{typed!r} is not {name!r}. Nothing was changed.")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


@contextmanager
def phase(name: str, timings: dict[str, float] | None = None) -> Iterator[Progress]:
    """Print `name` before and the seconds after; `timings` collects the seconds by name.

    The block gets a function that prints a line of progress below the name.
    """
    start = time.monotonic()
    title = f"{name} ".ljust(PHASE_WIDTH, ".")
    print(title, end=" ", flush=True)
    lines = 0

    def progress(text: str) -> None:
        nonlocal lines
        print(f"{'' if lines else chr(10)}    {text}", flush=True)
        lines += 1

    try:
        yield progress
    except BaseException:
        print(f"{title} failed" if lines else "failed", flush=True)
        raise
    seconds = time.monotonic() - start
    if timings is not None:
        timings[name] = seconds
    print(f"{title} {seconds:6.1f} s" if lines else f"{seconds:6.1f} s", flush=True)


def confirm(question: str, *, yes: bool, flag: str) -> None:
    """Ask `question` on the terminal; `yes` answers it beforehand.

    Raises Refused when the answer is no, or when there is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is no terminal to ask on: give {flag} to say yes.")
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Refused("Cancelled. Nothing was changed.")
