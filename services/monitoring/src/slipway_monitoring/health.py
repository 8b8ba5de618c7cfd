"""The health check of every part, which loads nothing that takes long: it runs all the time."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from slipway_monitoring.errors import MonitoringError

SECONDS = 8.0


def ask(url: str) -> None:
    """Ask a part in this container whether it answers. Raises MonitoringError when it does not."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=SECONDS)
    try:
        connection.request("GET", where.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise MonitoringError(f"{url} does not answer: {error}") from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise MonitoringError(f"{url} answers {status}")
