"""The command line that reaches another host's Docker engine over SSH."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.config.environment import SSH_HOST

Argv = tuple[str, ...]

ENGINE_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Forward:
    """A port of the loopback interface at one end that leads to one at the other end."""

    listen: int
    to: str


def reach(
    program: str,
    host: str,
    socket: Path,
    *,
    local: Sequence[Forward] = (),
    remote: Sequence[Forward] = (),
) -> Argv:
    """Hold one connection to `host` (`ssh://user@name:port`): its engine's socket at `socket`.

    `program` is `ssh`, or that with options of the user's own. `local` forwards lead from this
    machine to that host, `remote` ones from that host to this machine. The connection asks for
    nothing, ends when a forward cannot be made or its standard input is closed, and notices
    within 15 s that the other end is gone.
    """
    found = re.fullmatch(SSH_HOST, host)
    assert found, host
    options = (
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
        "StreamLocalBindUnlink=yes",
        "ConnectTimeout=15",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        # One that somebody else shares would outlive, or lack, what is forwarded here.
        "ControlMaster=no",
        "ControlPath=none",
    )
    where = f"{found['user']}@{found['name']}" if found["user"] else found["name"]
    return (
        *shlex.split(program),
        *(word for option in options for word in ("-o", option)),
        "-T",
        *("-L", f"{socket}:{ENGINE_SOCKET}"),
        *(word for each in local for word in ("-L", f"127.0.0.1:{each.listen}:{each.to}")),
        *(word for each in remote for word in ("-R", f"127.0.0.1:{each.listen}:{each.to}")),
        *(("-p", found["port"]) if found["port"] else ()),
        # Ends with its input: also when whoever holds the connection is killed.
        *("--", where, "cat"),
    )
