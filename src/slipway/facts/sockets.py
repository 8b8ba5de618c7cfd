"""Who listens where, from the kernel's table of sockets."""

from __future__ import annotations

_LISTENING = "0A"


def listening(table: str) -> frozenset[int]:
    """The ports with a listener on other addresses than loopback, in Linux's table of sockets.

    The format is that of proc_net_tcp(5): local address and port in hexadecimal, state 0A.
    """
    found = set()
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == _LISTENING and ":" in words[1]:
            address, _, port = words[1].rpartition(":")
            # 127.0.0.0/8 in the byte order of the table: Docker's own name server listens there.
            if not (len(address) == 8 and address.endswith("7F")):
                found.add(int(port, 16))
    return frozenset(found)
