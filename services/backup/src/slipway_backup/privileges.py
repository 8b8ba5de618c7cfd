"""Who this process is: nobody special, apart from reading files that others own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_backup.errors import Refused

USER = 10006
#: What restoring into the volumes of others takes; in a container of its own only.
RESTORING = ("chown", "dac_override", "kill", "setuid", "setgid")
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


def become(argv: Sequence[str], user: int = USER) -> list[str]:
    """The command that goes on as the service's own user, with one power of root's left."""
    return [
        "setpriv",
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
    command = become([sys.executable, "-m", "slipway_backup", *words])
    os.execvp(command[0], command)  # noqa: S606  # nosec B606
