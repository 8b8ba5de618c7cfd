"""The container's limit is found in either version of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway_postgres import limits

GIBIBYTE = 1 << 30


@pytest.mark.parametrize(
    ("file", "content", "memory"),
    [
        ("memory.max", "1073741824\n", GIBIBYTE),
        ("memory.max", "max\n", 8 * GIBIBYTE),
        ("memory/memory.limit_in_bytes", "2147483648\n", 2 * GIBIBYTE),
        # Version 1 without a limit.
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", 8 * GIBIBYTE),
        ("something.else", "1", 8 * GIBIBYTE),
    ],
)
def test_memory_is_the_limit_or_the_hosts(
    tmp_path: Path, file: str, content: str, memory: int
) -> None:
    host = tmp_path / "meminfo"
    host.write_text(f"MemFree: 1 kB\nMemTotal:       {8 * GIBIBYTE // 1024} kB\n")
    path = tmp_path / "groups" / file
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert limits.memory(tmp_path / "groups", host) == memory


def test_a_host_that_does_not_say_its_memory_is_named(tmp_path: Path) -> None:
    host = tmp_path / "meminfo"
    host.write_text("MemFree: 1 kB\n")
    with pytest.raises(ValueError, match="MemTotal"):
        limits.memory(tmp_path, host)
