"""What containers write, read of the engine's files, written down, and brought to the store."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from slipway_logs import figures, spool
from slipway_logs.files import Files, Part
from slipway_logs.lines import document
from slipway_logs.settings import Settings
from slipway_logs.spool import Full, Spool
from slipway_logs.store import Door

PORT = 8080
#: Between two looks at the files.
LOOK_SECONDS = 0.5
#: As many bytes of lines are written down at once, or a bit more.
BATCH_BYTES = 1 << 20
#: For a question to the store to end. The engine gives ten seconds.
LAST_SECONDS = 5.0


@dataclass
class Collector:
    """The files on one side, the spool on the other, and what was counted between them."""

    files: Files
    spool: Spool
    lines: int = 0

    def run(self, stop: threading.Event) -> None:
        """Write down what comes until told to stop. Raises OSError without the engine's folder."""
        with closing(self.files):
            while not stop.is_set():
                for batch in batches(self.files.look()):
                    if not self._written(batch, stop):
                        return
                stop.wait(LOOK_SECONDS)

    def _written(self, batch: Sequence[Part], stop: threading.Event) -> bool:
        """Write lines down, however long there is no room for them; False when told to stop."""
        lines = [line for part in batch for line in part.lines]
        # The engine cuts a long line where its bytes end, which may be inside a letter.
        made = (document(line.decode(errors="replace")) for line in lines)
        documents = [_text(each) for each in made if each is not None]
        # Killed between the two, the same lines come once more.
        steps = (lambda: self.spool.put(documents), lambda: self.files.done(batch))
        if not all(_done(step, stop) for step in steps):
            return False
        self.lines += len(lines)
        return True


def _done(step: Callable[[], None], stop: threading.Event) -> bool:
    """Do something as soon as there is room for it; False when told to stop before."""
    while True:
        try:
            step()
        except (Full, OSError):
            # The figures tell it. What is not read stays in the engine's files meanwhile.
            if stop.wait(LOOK_SECONDS):
                return False
        else:
            return True


def batches(parts: Iterator[Part]) -> Iterator[list[Part]]:
    """Parts of a look, as many together as are written down at once."""
    batch: list[Part] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += sum(map(len, part.lines))
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _text(made: dict[str, object]) -> bytes:
    # The engine keeps what is no text as halves of letters.
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def run(settings: Settings) -> int:
    """Collect until told to stop, and tell figures meanwhile. Raises OSError where it cannot."""
    settings.data.mkdir(parents=True, exist_ok=True)
    own = f'"tag":"slipway-{settings.environment}-'.encode()
    files = Files(settings.engine, own, settings.data / "places.json")
    collector = Collector(files, Spool(settings.data / "spool", settings.queue_bytes))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    store = Door(settings.store_url)
    bringing = threading.Thread(target=collector.spool.bring, args=(store, stop), daemon=True)
    with server(settings, collector) as telling:
        threading.Thread(target=telling.serve_forever, daemon=True).start()
        bringing.start()
        try:
            collector.run(stop)
        finally:
            stop.set()
            bringing.join(LAST_SECONDS)
            telling.shutdown()
    return 0


def server(settings: Settings, collector: Collector, port: int = PORT) -> ThreadingHTTPServer:
    """A server, bound and not yet running, that answers /health and /metrics."""

    def told() -> str:
        return figures.text(
            {
                "slipway_collector_lines_total": collector.lines,
                "slipway_collector_missed_total": collector.files.missed,
                "slipway_collector_waiting_bytes": spool.waiting(settings.data / "spool"),
                "slipway_collector_waiting_limit_bytes": settings.queue_bytes,
            }
        )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in {"/health", "/metrics"}:
                self.send_error(404)
                return
            body = told().encode() if self.path == "/metrics" else b"live\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: it is asked all the time."""

    made = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104  # nosec B104
    made.daemon_threads = True
    return made
