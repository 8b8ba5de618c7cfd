"""rsyslog on the engine's files, and what is known of how it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

from slipway_logs import figures, missed
from slipway_logs.settings import Settings

RSYSLOG = "/usr/sbin/rsyslogd"
CONFIGURATION = Path("/etc/slipway-logs/rsyslog.conf")
PORT = 8080
PACKAGES = Path(__file__).parents[1]
#: While a file is gone, imfile does not see for five seconds that another one of the same input was
#: renamed, and so does not begin with what follows it. So files have an input for each beginning
#: that the name of a container's folder can have, and what comes and goes elsewhere is no matter.
BEGINNINGS = tuple(f"{number:02x}" for number in range(256))
FILES = (
    'input(type="imfile" file="{files}" tag="engine" ruleset="lines" addMetadata="off"'
    ' persistStateInterval="500" reopenOnTruncate="on")'
)
#: As many of its last errors are said when rsyslog fails.
ERRORS = 20


def variables(settings: Settings) -> dict[str, str]:
    """What the configuration is told."""
    return {
        "OWN_TAG": f'"tag":"slipway-{settings.environment}-',
        "INPUTS": "\n".join(
            FILES.format(files=f"{settings.engine}/{beginning}*/*-json.log")
            for beginning in BEGINNINGS
        ),
        "MISSED": str(settings.data / "missed" / "*.log"),
        "PLACES": str(settings.data / "places"),
        "COUNTED": str(settings.work / "counted"),
        # rsyslog gives its programs no environment at all.
        "BRING": " ".join(("/usr/bin/env", f"PYTHONPATH={PACKAGES}", *_bring(settings))),
    }


def _bring(settings: Settings) -> tuple[str, ...]:
    where = (settings.store_url, str(settings.data / "spool"), str(settings.queue_bytes))
    return (sys.executable, "-m", "slipway_logs", "bring", *where)


def run(settings: Settings, configuration: Path = CONFIGURATION) -> int:
    """Run rsyslog until told to stop, and tell figures meanwhile; its exit code is ours."""
    for name in ("places", "missed"):
        (settings.data / name).mkdir(parents=True, exist_ok=True)
    settings.work.mkdir(parents=True, exist_ok=True)
    missed.save(settings.engine, settings.data / "places", settings.data / "missed")
    pid = settings.work / "rsyslog.pid"
    # Of a container that was killed: rsyslog would not start beside a process of that number.
    pid.unlink(missing_ok=True)
    with server(settings) as telling:
        rsyslog = subprocess.Popen(  # noqa: S603  # nosec B603
            [RSYSLOG, "-n", "-f", str(configuration), "-i", str(pid)],
            env=os.environ | variables(settings),
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        # It says there once more what its own log says already, but for why it does not start.
        errors: deque[str] = deque(maxlen=ERRORS)
        listening = threading.Thread(target=errors.extend, args=(rsyslog.stderr,), daemon=True)
        listening.start()

        def stop(_number: int, _frame: FrameType | None) -> None:
            rsyslog.terminate()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        threading.Thread(target=telling.serve_forever, daemon=True).start()
        code = rsyslog.wait()
        telling.shutdown()
    if code:
        # Its program for lines may outlive it, and has the same way out.
        listening.join(1)
        told = {"level": "error", "event": "rsyslog ended", "code": code}
        print(json.dumps(told | {"reason": "".join(errors).strip()}), flush=True)
    return 128 - code if code < 0 else code


def server(settings: Settings, port: int = PORT) -> ThreadingHTTPServer:
    """A server, bound and not yet running, that answers /health and /metrics."""
    told = figures.Figures(settings)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in {"/health", "/metrics"}:
                self.send_error(404)
                return
            body = told.text().encode() if self.path == "/metrics" else b"live\n"
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
