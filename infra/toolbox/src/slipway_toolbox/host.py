"""What a release must know of the host that the engine runs on, seen from a container on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

TABLES = ("tcp", "tcp6")


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """Free bytes where the engine keeps its images, and the kernel's tables of TCP sockets.

    The root of a container lies on the engine's own disk. The sockets are the host's when the
    container shares the host's network.
    """
    tables = [root / "proc" / "net" / name for name in TABLES]
    return {
        "disk_free": shutil.disk_usage(root).free,
        "sockets": "".join(table.read_text() for table in tables if table.is_file()),
    }
