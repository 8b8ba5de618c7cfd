"""What the container may use, as the kernel's control groups say."""

from __future__ import annotations

from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMORY_OF_HOST = Path("/proc/meminfo")
# Version 2 first, then version 1.
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def memory(groups: Path = CONTROL_GROUPS, host: Path = MEMORY_OF_HOST) -> int:
    """Bytes of memory that this container may use: its limit, or all that the host has."""
    total = _of_host(host)
    for name in LIMITS:
        try:
            limit = (groups / name).read_text().strip()
        except OSError:
            continue
        # Without a limit version 2 says "max" and version 1 a number larger than any host.
        return min(int(limit), total) if limit.isdigit() else total
    return total


def _of_host(path: Path) -> int:
    for line in path.read_text().splitlines():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            return int(amount.split()[0]) * 1024
    raise ValueError(f"{path} does not say MemTotal")
