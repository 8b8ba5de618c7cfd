"""How many callers' connections this edge holds, counted in the kernel's own table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
PORTS = frozenset({8443, 8080})
# From include/net/tcp_states.h: those in which a caller may still send or be sent something.
OPEN = frozenset({0x01, 0x03, 0x04, 0x08, 0x09, 0x0B, 0x0C})


def count(tables: Iterable[str]) -> int:
    """The open connections to the ports for callers, in what the kernel's tables say."""
    return sum(_open(line.split()) for table in tables for line in table.splitlines()[1:])


def held() -> int:
    """The open connections to the ports for callers, now."""
    return count(table.read_text(encoding="ascii") for table in TABLES if table.exists())


def _open(row: list[str]) -> bool:
    return int(row[1].rpartition(":")[2], 16) in PORTS and int(row[3], 16) in OPEN
