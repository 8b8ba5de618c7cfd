"""Serve one bucket over TLS to whoever has any key; says when it is there."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

PORT = 9000


class Handler(WSGIRequestHandler):
    """Says that a connection ends before it does, without which pgBackRest takes it for broken."""

    def finish(self) -> None:
        """End one connection."""
        super().finish()
        self.connection.settimeout(5)
        with contextlib.suppress(OSError):
            self.connection.unwrap()


def main() -> None:
    """Serve until killed."""
    given = {}
    for name in ("authority", "certificate", "key"):
        given[name] = f"/tmp/{name}"
        Path(given[name]).write_text(os.environ[name.upper()])
    application = DomainDispatcherApplication(create_backend_app)
    pair = (given["certificate"], given["key"])
    server = make_server(
        *("0.0.0.0", PORT, application),
        threaded=True,
        ssl_context=pair,
        request_handler=Handler,
    )
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    own = boto3.client(
        "s3",
        endpoint_url=f"https://localhost:{PORT}",
        verify=given["authority"],
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )
    own.create_bucket(Bucket=os.environ["BUCKET"])
    print("ready", flush=True)
    serving.join()


main()
