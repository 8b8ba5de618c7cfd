"""The engine's interface, as far as one may read it: this module can send nothing but GET."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from slipway_monitoring.errors import MonitoringError

SECONDS = 8.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Engine:
    """One engine behind its socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, target: str, **parameters: str) -> Any:
        """What the engine answers, from JSON; None for what is not there (any more).

        Raises MonitoringError when it does not answer, or refuses.
        """
        connection = _Connection(self._path)
        query = f"?{urlencode(parameters)}" if parameters else ""
        try:
            connection.request("GET", target + query)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise MonitoringError(
                f"the engine does not answer at {self._path}: {error}; see `docker info` there"
            ) from error
        finally:
            connection.close()
        if answer.status in {404, 409}:
            return None
        if answer.status != 200:
            raise MonitoringError(f"the engine refused {target}: {answer.status} {body[:200]!r}")
        return json.loads(body)

    def containers(self, environment: str) -> list[Mapping[str, Any]]:
        """What the engine says of each of the environment's containers, also of stopped ones."""
        wanted = json.dumps({"label": [f"slipway.environment={environment}"]})
        listed = self.get("/containers/json", all="true", filters=wanted) or []
        found = (self.get(f"/containers/{each['Id']}/json") for each in listed)
        return [each for each in found if each is not None]

    def statistics(self, identity: str) -> Mapping[str, Any] | None:
        """What a container used so far; None for one that is gone."""
        told = self.get(f"/containers/{identity}/stats", **{"stream": "false", "one-shot": "true"})
        return told if isinstance(told, dict) else None
