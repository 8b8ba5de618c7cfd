"""Who holds a lease: a process of a host, which others on that host can see end."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from slipway.run import PROC, end_marked

#: Every command that a holder starts carries this variable, so that it is known when left alone.
MARK = "SLIPWAY_HOLDER"
#: The field of /proc/PID/stat with the start of the process, counted behind its name (proc(5)).
START_FIELD = 19


def name() -> str:
    """Who releases, from where, and in which process."""
    return f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"


def process() -> dict[str, Any]:
    """What tells this process from every other one, also from a later one with its number.

    A number means something only in its namespace: containers of one host share its boot.
    """
    here = {**_host(), "user": os.geteuid(), "pid": os.getpid(), "started": _started(os.getpid())}
    os.environ[MARK] = _mark(here)
    return here


def gone(held: Mapping[str, Any] | None) -> bool:
    """Whether the process that holds a lease has certainly ended.

    Only one that is on this host, in this boot and in this namespace can be known, and only by
    who may also end what it left.
    """
    if not held or any(held.get(key) != value for key, value in _host().items()):
        return False
    if os.geteuid() not in {0, held["user"]}:
        return False
    return bool(_started(int(held["pid"])) != held["started"])


def end_orphans(held: Mapping[str, Any]) -> None:
    """End the commands that a process which is gone left behind: they would go on acting."""
    end_marked(MARK, _mark(held))


def _host() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": (PROC / "sys/kernel/random/boot_id").read_text().strip(),
        "namespace": str((PROC / "self/ns/pid").readlink()),
    }


def _mark(held: Mapping[str, Any]) -> str:
    return f"{held['boot']}:{held['pid']}:{held['started']}"


def _started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks since the boot; None when there is none."""
    try:
        # The name stands in brackets and may hold anything, brackets too.
        words = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # One that has ended and that nobody has asked how does nothing any more.
    return None if words[0] in {"Z", "X"} else int(words[START_FIELD])
