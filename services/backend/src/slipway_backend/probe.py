"""Health checks for containers, which have no other HTTP client.

The engine runs them every few seconds in every container, so they load nothing that takes long:
no settings model, no log library. A test holds their two settings to those of the service.
"""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path

PORT = 8000
HEARTBEAT_FILE = "/tmp/slipway-worker.heartbeat"  # noqa: S108  # nosec B108
WORKER_SILENCE_SECONDS = 30.0


def serve_is_live() -> bool:
    """Whether the HTTP server of this container answers. Readiness is the edge's business."""
    port = int(os.environ.get("PORT", PORT))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def worker_is_live() -> bool:
    """Whether the worker of this container has lately reached the queue."""
    try:
        file = Path(os.environ.get("WORKER_HEARTBEAT_FILE", HEARTBEAT_FILE))
        written = file.stat().st_mtime
    except OSError:
        return False
    return time.time() - written < WORKER_SILENCE_SECONDS
