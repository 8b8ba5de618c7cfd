"""The options of `slipway-backend ingest`, apart from what takes long to load."""

from __future__ import annotations

import argparse
from pathlib import Path

API_KEY = "SLIPWAY_API_KEY"
PASSWORD = "SLIPWAY_PASSWORD"  # noqa: S105  # nosec B105 - a variable's name


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder whose files to upload")
    parser.add_argument("--url", required=True, help="the server, such as https://rag.example.org")
    parser.add_argument("--collection", default="default")
    parser.add_argument("--source-prefix", default="", help="put before every file's path")
    parser.add_argument("--include", action="append", default=[], metavar="GLOB")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB")
    parser.add_argument("--workers", type=int, default=4, help="files uploaded at once")
    parser.add_argument("--wait", action="store_true", help="until everything is ready or failed")
    parser.add_argument("--api-key-file", type=Path, help=f"or the variable {API_KEY}")
    parser.add_argument("--username", help=f"instead of a key; asks, or takes {PASSWORD}")
    parser.add_argument("--ca-file", type=Path, help="PEM of the authority to trust")
    parser.add_argument(
        "--patience", type=float, default=600.0, help="seconds to wait for a server that is away"
    )
