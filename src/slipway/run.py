"""The one place that starts a process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CommandFailed, SlipwayError

LAST_LINES = 50


@dataclass(frozen=True)
class Completed:
    """A process that has ended: its exit code and what it printed, as text."""

    exit_code: int
    output: str
    errors: str


def run(
    argv: Sequence[str],
    *,
    input: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    timeout: float | None = None,
    log: Path | None = None,
) -> Completed:
    """Run `argv` to its end and return what it printed.

    `env` is added to this process's environment; `timeout` is in seconds. With `log`, both
    streams go to that file as they come, and `output` is the whole file's text.

    Raises CommandFailed on a non-zero exit code unless `check` is false, and SlipwayError when
    the program does not exist or the time is up.
    """
    data = input.encode() if isinstance(input, str) else input
    environment = {**os.environ, **env} if env else None
    try:
        if log is None:
            done = subprocess.run(
                argv,
                input=data,
                stdin=subprocess.DEVNULL if data is None else None,
                capture_output=True,
                env=environment,
                cwd=cwd,
                timeout=timeout,
                check=False,
            )
            output, errors = _text(done.stdout), _text(done.stderr)
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as stream:
                done = subprocess.run(
                    argv,
                    input=data,
                    stdin=subprocess.DEVNULL if data is None else None,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=cwd,
                    timeout=timeout,
                    check=False,
                )
            output, errors = _text(log.read_bytes()), ""
    except FileNotFoundError as error:
        raise SlipwayError(
            f"`{argv[0]}` is not installed, or not on PATH",
            next_command="invoke host.check",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SlipwayError(f"`{' '.join(argv[:6])}` did not end within {timeout:g} s") from error
    if check and done.returncode != 0:
        said = (errors.strip() or output.strip()).splitlines()
        raise CommandFailed(argv, done.returncode, said[-LAST_LINES:])
    return Completed(done.returncode, output, errors)


def run_attached(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run `argv` on this terminal (its streams are ours) and return its exit code."""
    environment = {**os.environ, **env} if env else None
    try:
        return subprocess.call(argv, env=environment)
    except FileNotFoundError as error:
        raise SlipwayError(
            f"`{argv[0]}` is not installed, or not on PATH",
            next_command="invoke host.check",
        ) from error
    except KeyboardInterrupt:
        return 0


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
