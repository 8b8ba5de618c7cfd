"""Who this process is: nobody special, apart from reading files that others own."""

from __future__ import annotations

import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from slipway_backup.errors import Refused

USER = 10006
#: What restoring into the volumes of others takes; in a container of its own only.
RESTORING = ("chown", "dac_override", "kill", "setuid", "setgid")
#: By machine: its number in an audit, and that of open_by_handle_at.
HANDLES: Mapping[str, tuple[int, int]] = {
    "x86_64": (0xC000003E, 304),
    "aarch64": (0xC00000B7, 265),
}
ROOTS = ("adopt", "restore", "state")
BITS: Mapping[str, int] = {
    "chown": 0,
    "dac_override": 1,
    "dac_read_search": 2,
    "fowner": 3,
    "kill": 5,
    "setgid": 6,
    "setuid": 7,
}


def effective(status: str) -> set[str]:
    """The powers among those known here that a process has, by its /proc/PID/status."""
    line = next(each for each in status.splitlines() if each.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return {name for name, bit in BITS.items() if mask >> bit & 1}


def no_handles(machine: str) -> bytes:
    """A seccomp filter that refuses to open a file by its handle, as setpriv takes it.

    Who may read others' files may open any file of the host's by its handle, whatever is mounted
    (open_by_handle_at(2)); the engine's own filter allows the call to exactly those. The words of
    it are those of Linux' uapi/linux/filter.h, seccomp.h and audit.h. Raises Refused for a machine
    whose numbers are not known here.
    """
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | errno.EPERM, 0x7FFF0000
    if machine not in HANDLES:
        raise Refused(f"no filter of calls is known for {machine}", "run it on x86_64 or aarch64")
    architecture, call = HANDLES[machine]
    steps = (
        (load, 0, 0, 4),
        (equal, 0, 3, architecture),
        (load, 0, 0, 0),
        (at_least, 1, 0, 0x40000000),
        (equal, 0, 1, call),
        (answer, 0, 0, refuse),
        (answer, 0, 0, allow),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def become(argv: Sequence[str], filter_: Path, user: int = USER) -> list[str]:
    """The command that goes on as the service's own user, with one power of root's left."""
    return [
        "setpriv",
        "--no-new-privs",
        f"--seccomp-filter={filter_}",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--",
        *argv,
    ]


def settle(verb: str, words: Sequence[str]) -> None:
    """Go on as who the verb is for. Raises Refused when the container may not do it.

    Only what restores stays root, because the files that it writes belong to others.
    """
    if os.geteuid() != 0:
        return
    powers = effective(Path("/proc/self/status").read_text(encoding="utf-8"))
    if verb in ROOTS:
        missing = [name for name in RESTORING if name not in powers]
        if missing:
            raise Refused(
                f"{verb} needs the powers {', '.join(missing)} over the files of others",
                "run it in a container of its own: docs/reference/backups.md",
            )
        return
    go_on([sys.executable, "-m", "slipway_backup", *words])


def go_on(argv: Sequence[str]) -> NoReturn:
    """Become another command as the service's own user."""
    memory = os.memfd_create("filter", flags=0)
    os.write(memory, no_handles(platform.machine()))
    command = become(argv, Path(f"/proc/self/fd/{memory}"))
    os.execvp(command[0], command)  # noqa: S606  # nosec B606
