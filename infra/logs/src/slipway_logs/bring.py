"""What rsyslog gives its lines to: a batch is confirmed once all of it is written down.

rsyslog's contract (omprog with transactions): every line is answered at once, and the end of a
batch with OK, or with a reason, after which rsyslog brings the whole batch again.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from urllib.parse import urlencode, urlsplit

from slipway_logs.lines import STREAM, document
from slipway_logs.spool import Full, NotTaken, Spool

BEGIN, COMMIT = "BEGIN TRANSACTION", "COMMIT TRANSACTION"
SECONDS = 20.0
PAUSE_SECONDS = 0.5


class Store:
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
                self._connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
            self._connection.request("POST", self._path, documents)
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            raise NotTaken(f"{type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise NotTaken(f"{answer.status} {said[:200]!r}")


def run(lines: Iterable[str], answers: IO[str], store: str, folder: Path, limit: int) -> None:
    """Answer rsyslog until it has no more, and bring the store what it said meanwhile."""
    spool, stop = Spool(folder, limit), threading.Event()
    bringing = threading.Thread(target=spool.bring, args=(Store(store), stop), daemon=True)
    bringing.start()
    serve(lines, answers, spool)
    stop.set()
    bringing.join(SECONDS)


def serve(lines: Iterable[str], answers: IO[str], spool: Spool) -> None:
    """Answer rsyslog, line by line, until it has no more."""

    def say(answer: str) -> None:
        answers.write(f"{answer}\n")
        answers.flush()

    batch: list[bytes] = []
    say("OK")
    for each in lines:
        line = each.rstrip("\n")
        if line == BEGIN:
            batch = []
            say("OK")
        elif line == COMMIT:
            say(_written(spool, batch))
        else:
            made = document(line)
            if made is not None:
                text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
                # The engine keeps what is no text as halves of letters.
                batch.append(text.encode(errors="replace"))
            say("DEFER_COMMIT")


def _written(spool: Spool, batch: list[bytes]) -> str:
    try:
        spool.put(batch)
    except (Full, OSError) as reason:
        # rsyslog tries again at once.
        time.sleep(PAUSE_SECONDS)
        return f"Error: {len(batch)} lines not written down: {reason}"
    return "OK"
