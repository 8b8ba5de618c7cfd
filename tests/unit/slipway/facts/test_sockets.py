"""Which ports something listens on is read from the kernel's own table."""

from __future__ import annotations

import socket
from pathlib import Path

from slipway.facts import sockets

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:9B4F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 050013AC:2328 060013AC:C350 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   0: 00000000000000000000000000000000:1F40 00000000000000000000000000000000:0000 0A 00 00 0 0 0
"""


def test_listeners_are_found_on_both_families_and_docker_s_name_server_is_none() -> None:
    assert sockets.listening(TABLE) == {9000, 8000}


def test_the_table_of_this_machine_is_understood() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        port = server.getsockname()[1]
        assert port in sockets.listening(Path("/proc/net/tcp").read_text())
    assert port not in sockets.listening(Path("/proc/net/tcp").read_text())
