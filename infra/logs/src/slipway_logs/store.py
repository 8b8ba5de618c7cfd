"""VictoriaLogs: how it is started, given lines, and asked from inside its own container."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from slipway_logs.lines import STREAM
from slipway_logs.settings import Settings
from slipway_logs.spool import NotTaken

PORT = 9428
#: The store refuses what would leave less than this, and the collector then keeps lines for it.
FREE_BYTES = 500_000_000
#: No question takes longer, whoever asks.
QUESTION_SECONDS = 30
DOOR_SECONDS = 20.0


def words(settings: Settings) -> list[str]:
    """The words that start it on its volume, with what it may keep."""
    return [
        "/usr/local/bin/victoria-logs",
        f"-storageDataPath={settings.data / 'store'}",
        f"-httpListenAddr=:{PORT}",
        f"-retentionPeriod={settings.days}d",
        f"-retention.maxDiskSpaceUsageBytes={settings.store_bytes}",
        f"-storage.minFreeDiskSpaceBytes={FREE_BYTES}",
        # What was taken is in memory until then: as much is lost when the store is killed.
        "-inmemoryDataFlushInterval=1s",
        "-futureRetention=1d",
        "-search.maxConcurrentRequests=4",
        f"-search.maxQueryDuration={QUESTION_SECONDS}s",
        # Of the container's own limit, the rest is for merging what is kept.
        "-memory.allowedPercent=40",
        "-loggerFormat=json",
        "-loggerLevel=WARN",
    ]


class Door:
    """The store's door for lines, over one connection that is made again when it is lost."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._path = f"/insert/jsonline?{urlencode({'_stream_fields': ','.join(STREAM)})}"
        self._connection: http.client.HTTPConnection | None = None

    def take(self, documents: bytes) -> None:
        """Hand documents over, a line each. Raises NotTaken."""
        try:
            if self._connection is None:
                host, port = self._address.hostname or "", self._address.port
                self._connection = http.client.HTTPConnection(host, port, timeout=DOOR_SECONDS)
            self._connection.request("POST", self._path, documents)
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            raise NotTaken(f"{type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise NotTaken(f"{answer.status} {said[:200]!r}")


def ask(path: str, asked: Mapping[str, str], address: str = f"127.0.0.1:{PORT}") -> int:
    """Print what the store answers, part by part as it comes; 1 when it refuses."""
    connection = http.client.HTTPConnection(address, timeout=QUESTION_SECONDS + 5)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, urlencode(asked), form)
    answer = connection.getresponse()
    out = sys.stdout.buffer if answer.status == 200 else sys.stderr.buffer
    while part := answer.read1(1 << 16):
        out.write(part)
        out.flush()
    return 0 if answer.status == 200 else 1


def healthy(address: str) -> bool:
    """Whether a part in this container answers."""
    connection = http.client.HTTPConnection(address, timeout=8)
    connection.request("GET", "/health")
    return connection.getresponse().status == 200
