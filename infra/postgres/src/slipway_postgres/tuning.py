"""PostgreSQL's memory settings for a container's limit."""

from __future__ import annotations

MEBIBYTE = 1024 * 1024
CONNECTIONS = 100


def tune(memory: int, connections: int = CONNECTIONS) -> dict[str, str]:
    """The settings for a container with `memory` bytes and so many connections.

    What an environment states itself wins over these.
    """
    # Sorts and joins of hybrid search are small; fewer than the least would write to disk.
    work = _between(memory // 4 // connections, 8 * MEBIBYTE, 64 * MEBIBYTE)
    return {
        "shared_buffers": _text(_between(memory // 4, 64 * MEBIBYTE, 16384 * MEBIBYTE)),
        "effective_cache_size": _text(memory * 5 // 8),
        "work_mem": _text(work),
        # An HNSW graph is built several times faster while it fits in here. One is built at a
        # time; vacuum takes its own from what autovacuum_work_mem leaves it.
        "maintenance_work_mem": _text(_between(memory * 3 // 16, 64 * MEBIBYTE, 4096 * MEBIBYTE)),
        "autovacuum_work_mem": _text(_between(memory // 32, 16 * MEBIBYTE, 512 * MEBIBYTE)),
        # Twice the memory's worth of log between checkpoints: a crash is then replayed in seconds.
        "max_wal_size": _text(_between(memory * 2, 1024 * MEBIBYTE, 8192 * MEBIBYTE)),
    }


def _between(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


def _text(size: int) -> str:
    return f"{size // MEBIBYTE}MB"
