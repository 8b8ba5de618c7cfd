"""Health checks for containers, which have no other HTTP client."""

from __future__ import annotations

import http.client
import time

from slipway_backend.settings import Settings

WORKER_SILENCE_SECONDS = 30.0


def serve_is_live(settings: Settings) -> bool:
    """Whether the HTTP server of this container answers. Readiness is the edge's business."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=3)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def worker_is_live(settings: Settings) -> bool:
    """Whether the worker of this container has lately reached the queue."""
    try:
        written = settings.worker_heartbeat_file.stat().st_mtime
    except OSError:
        return False
    return time.time() - written < WORKER_SILENCE_SECONDS
