"""The door: owns the published ports and sends each new connection to the edge that serves.

It is a router between two networks and holds no connection itself. The kernel's connection
tracking keeps every established connection with the edge that it began on, so a switch is one
transaction of rules. It needs CAP_NET_ADMIN in its own network namespace and nothing else.
"""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import socket
import struct
import subprocess  # nosec B404
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway_edge.errors import EdgeError, Refused
from slipway_edge.store import read_object, replace_object

EDGES = ("edge", "edge-b")
PORTS = (8443, 8080)
NFT = "/usr/sbin/nft"
ROUND_SECONDS = 1.0
TABLE = "slipway"
ROUTES = Path("/proc/net/route")

# From linux/sockios.h and linux/if.h.
SIOCSIFADDR, SIOCSIFNETMASK, SIOCGIFADDR, SIOCGIFNETMASK = 0x8916, 0x891C, 0x8915, 0x891B

# The table has to be there before the first connection: what was begun without it would be taken
# for something else in the middle.
RULES = f"""
table ip {TABLE} {{
  map serving {{ type inet_service : ipv4_addr; }}
  chain arriving {{
    type nat hook prerouting priority dstnat; policy accept;
    dnat ip to tcp dport map @serving
  }}
  chain passing {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct status dnat accept
  }}
}}
"""

logger = logging.getLogger("slipway.door")


def rules(address: str | None) -> str:
    """The transaction that sends new connections to ``address``, or nowhere when it is None."""
    lines = [f"flush map ip {TABLE} serving"]
    if address is not None:
        targets = ", ".join(f"{port} : {ipaddress.IPv4Address(address)}" for port in PORTS)
        lines.append(f"add element ip {TABLE} serving {{ {targets} }}")
    return "\n".join(lines) + "\n"


def resolve(name: str) -> str | None:
    """The address of an edge on the network behind the door; None when it does not run."""
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None


def nft(script: str) -> None:
    """Apply a script in one transaction; raises EdgeError with nft's own words."""
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603
            (NFT, "-f", "-"), input=script, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise EdgeError(f"nft cannot be started: {error}") from error
    if done.returncode != 0:
        words = " ".join(done.stderr.split())
        raise EdgeError(f"the kernel refused the door's rules: {words}")


class Door:
    """Which edge serves, kept in ``folder``, and the rules that follow from it."""

    def __init__(
        self,
        folder: Path,
        resolve: Callable[[str], str | None] = resolve,
        apply: Callable[[str], None] = nft,
    ) -> None:
        self._folder = folder
        self._resolve = resolve
        self._apply = apply

    def serving(self) -> str | None:
        """The name of the edge that gets new connections; None before the first switch."""
        value = read_object(self._folder / "serving.json")
        return None if value is None else str(value["edge"])

    def switch(self, edge: str) -> dict[str, object]:
        """Send new connections to ``edge`` from now on; return the acknowledgement.

        Raises Refused, with everything as it was, when that edge has no address.
        """
        with self._locked():
            address = self._resolve(edge)
            before = self.serving()
            if address is None:
                raise Refused(f"{edge} has no address; start it first", {"edge": before})
            # On disk first: a crash in between comes back with the new one, which is healthy.
            replace_object(self._folder / "serving.json", {"edge": edge})
            self._apply(rules(address))
        return {"edge": edge, "address": address, "before": before}

    def status(self) -> dict[str, object]:
        """Which edge gets new connections, and the addresses of all that run."""
        return {
            "edge": self.serving(),
            "addresses": {edge: self._resolve(edge) for edge in EDGES},
        }

    def prepare(self, routes: str) -> None:
        """Make the rules; the edges' way out leads through the door. Raises EdgeError."""
        self._apply(RULES)
        take_gateway(routes)

    def run(self, stopped: threading.Event) -> None:
        """Follow the serving edge to a new address, as it has after a restart, until stopped."""
        applied: str | None = None
        while not stopped.is_set():
            try:
                with self._locked():
                    edge = self.serving() or EDGES[0]
                    address = self._resolve(edge)
                    if address is not None and address != applied:
                        self._apply(rules(address))
                        applied = address
                        logger.info("new connections go to %s at %s", edge, address)
            except (EdgeError, ValueError, TypeError, KeyError, OSError) as error:
                logger.error("round_failed: %s", error)
            stopped.wait(ROUND_SECONDS)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def take_gateway(routes: str) -> None:
    """Take the gateway's address on the network behind the door.

    The engine leaves that address to nobody there, and the edges send through it what they answer.
    Raises EdgeError when the way out of the door itself leads into that network.
    """
    outer, inner = sides(routes)
    packed = _interface(SIOCGIFADDR, inner)
    mask = _interface(SIOCGIFNETMASK, inner)
    network = ipaddress.IPv4Network(f"{packed}/{mask}", strict=False)
    alias = f"{inner}:gw"
    _set_interface(SIOCSIFADDR, alias, str(network.network_address + 1))
    _set_interface(SIOCSIFNETMASK, alias, mask)
    logger.info("between %s and %s, which is %s", outer, inner, network)


def sides(routes: str) -> tuple[str, str]:
    """The interfaces towards the published ports and towards the edges, from the route table.

    Raises EdgeError when there are not exactly two networks.
    """
    rows = [line.split() for line in routes.splitlines()[1:]]
    outer = {row[0] for row in rows if row[1] == "00000000"}
    inner = {row[0] for row in rows} - outer
    if len(outer) != 1 or len(inner) != 1:
        raise EdgeError(
            "the door stands between two networks, one with the way out; found "
            f"{sorted(outer)} and {sorted(inner)}"
        )
    return outer.pop(), inner.pop()


def _interface(request: int, name: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, request, struct.pack("256s", name.encode()))
    return socket.inet_ntoa(answer[20:24])


def _set_interface(request: int, name: str, address: str) -> None:
    packed = struct.pack(
        "16sH2s4s8s", name.encode(), socket.AF_INET, b"", socket.inet_aton(address), b""
    )
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, request, packed)
    except OSError as error:
        raise EdgeError(f"{name} cannot get the address {address}: {error}") from error
