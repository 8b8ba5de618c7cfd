"""The one place that starts a program and waits for it."""

from __future__ import annotations

import os
import subprocess  # nosec B404
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slipway_backup.errors import Failed

#: A program does not outlive whoever started it, however that ended.
TIED = ("setpriv", "--pdeathsig", "KILL", "--")
PATH = "/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin"
FULL = "No space left on device"


@dataclass(frozen=True)
class User:
    """Whom a program runs as, where that is not whoever starts it."""

    user: int
    group: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Done:
    """A program that ended: its exit code, and what it said."""

    code: int
    output: str
    errors: str = field(default="")

    @property
    def text(self) -> str:
        """Everything it said."""
        return f"{self.output}\n{self.errors}".strip()

    def last(self, count: int = 3) -> str:
        """The last lines that are no empty ones."""
        return " | ".join(
            [line.strip() for line in self.text.splitlines() if line.strip()][-count:]
        )


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: what it is given, and next to nothing else."""
    return {"PATH": PATH, "HOME": "/tmp", "LANG": "C.UTF-8", **given}  # noqa: S108  # nosec B108


def start(
    argv: Sequence[str], env: Mapping[str, str] | None = None, user: User | None = None
) -> subprocess.Popen[str]:
    """Start a program whose outputs are read by whoever asked for it."""
    other = user if os.geteuid() == 0 else None
    return subprocess.Popen(
        [*TIED, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment(env or {}),
        cwd="/",
        user=other.user if other else None,
        group=other.group if other else None,
        extra_groups=other.groups if other else None,
    )


def run(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    user: User | None = None,
    on_line: Callable[[str], None] | None = None,
    accept: Sequence[int] = (0,),
    seconds: float | None = None,
) -> Done:
    """Run a program to its end, telling each line of its output as it comes.

    Raises Failed when its exit code is not one of `accept`, when the disk is full, or when it has
    not ended after so many seconds.
    """
    child = start(argv, env, user)
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(seconds or 0, end)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    errors: list[str] = []
    assert child.stdout is not None and child.stderr is not None
    stream = child.stderr
    reader = threading.Thread(target=lambda: errors.extend(stream), daemon=True)
    reader.start()
    output: list[str] = []
    try:
        for line in child.stdout:
            output.append(line)
            if on_line:
                on_line(line.rstrip("\n"))
        code = child.wait()
    finally:
        timer.cancel()
        if child.poll() is None:
            child.kill()
            child.wait()
        reader.join()
        child.stdout.close()
        child.stderr.close()
    if late.is_set():
        raise Failed(f"{argv[0]} did not end in {seconds:g} s, and was ended")
    done = Done(code, "".join(output), "".join(errors))
    if code not in accept:
        raise failure(argv[0], done)
    return done


def failure(name: str, done: Done) -> Failed:
    """What a program's failure is told as."""
    if FULL in done.text:
        return Failed(
            f"the disk of the repository is full ({name}); nothing was removed to make room",
            "give the volume more room, or keep fewer points (x-slipway/backup/keep)",
        )
    return Failed(f"{name} ended with {done.code}: {done.last()}")
