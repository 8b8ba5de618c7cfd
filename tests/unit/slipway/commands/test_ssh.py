"""The command line that holds a connection to another host."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.commands import ssh
from slipway.commands.ssh import Forward

SOCKET = Path("/tmp/x/docker.sock")  # noqa: S108


def test_one_connection_carries_the_engine_the_edge_and_the_registry() -> None:
    argv = ssh.reach(
        "ssh -F my.conf",
        "ssh://deploy@gpu1.internal:2222",
        SOCKET,
        local=[Forward(40001, "127.0.0.1:443")],
        remote=[Forward(5000, "127.0.0.1:5000")],
    )
    assert argv[:3] == ("ssh", "-F", "my.conf")
    assert argv[-5:] == ("-p", "2222", "--", "deploy@gpu1.internal", "cat")
    joined = " ".join(argv)
    assert f"-L {SOCKET}:/var/run/docker.sock -L 127.0.0.1:40001:127.0.0.1:443" in joined
    assert "-R 127.0.0.1:5000:127.0.0.1:5000" in joined
    assert "-o BatchMode=yes" in joined


@pytest.mark.parametrize(
    ("host", "end"),
    [
        ("ssh://gpu1", ("-L", f"{SOCKET}:/var/run/docker.sock", "--", "gpu1", "cat")),
        ("ssh://me@10.0.0.7", ("--", "me@10.0.0.7", "cat")),
    ],
)
def test_user_and_port_may_be_left_to_the_configuration_of_ssh(
    host: str, end: tuple[str, ...]
) -> None:
    assert ssh.reach("ssh", host, SOCKET)[-len(end) :] == end
