"""The command line: serve, worker, migrate, users, log-level, health, --embedded and others."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from slipway_backend import __version__, log_level, probe
from slipway_backend.access import Role
from slipway_backend.bulk.options import add_options
from slipway_backend.errors import StartRefused
from slipway_backend.log_level import LEVELS, MOST_MINUTES

if TYPE_CHECKING:
    from slipway_backend.settings import Settings

REFUSED = 2


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="slipway-backend",
        description="Slipway's RAG service. Settings come from environment variables or files in "
        "/run/secrets; the README lists them.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="run everything here: PostgreSQL in a folder, model, API, worker",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("slipway-data"), help="folder for --embedded"
    )
    parser.add_argument("--port", type=int, default=8000, help="port for --embedded")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("serve", help="serve the HTTP API")
    commands.add_parser("worker", help="ingest queued documents")
    commands.add_parser("migrate", help="bring the database to this release")
    _add_embeddings(commands.add_parser("embeddings", help="list, build, switch embedding sets"))
    _add_users(commands.add_parser("users", help="list, add and deactivate users, grant access"))
    add_options(commands.add_parser("ingest", help="upload a folder to a server, resumably"))
    evaluate = commands.add_parser("evaluate", help="measure search quality on a labelled set")
    evaluate.add_argument("folder", type=Path, help="questions.jsonl and documents/")
    _add_parts(commands.add_parser("parts", help="put back what was taken out of a backup"))
    index = commands.add_parser("index", help="check the vector index against exact search")
    index.add_argument("action", choices=("check",))
    index.add_argument("--repair", action="store_true", help="make it anew, and check again")
    level = commands.add_parser("log-level", help="how much this container's process writes")
    level.add_argument("level", choices=LEVELS, nargs="?", help="what it is to be for a while")
    level.add_argument("--minutes", type=_minutes, default=15, help="then it is as before")
    health = commands.add_parser("health", help="exit 0 when the process of this container lives")
    health.add_argument("process", choices=("serve", "worker"))
    return parser


def _add_embeddings(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="embeddings", metavar="command", required=True)
    commands.add_parser("list", help="every set: model, state, how complete, last comparison")
    build = commands.add_parser("build", help="build the set of the wanted model, and switch to it")
    switch = commands.add_parser("switch", help="complete a set and serve it, or go back to one")
    switch.add_argument("--to", type=int, metavar="ID", help="default: the set in the building")
    switch.add_argument("--force", action="store_true", help="also when it finds worse")
    switch.add_argument(
        "--without-missing", action="store_true", help="also without what cannot be embedded"
    )
    for command in (build, switch):
        command.add_argument("--questions", type=Path, help="labelled questions, JSON lines")
    discard = commands.add_parser("discard", help="remove a set that is not served")
    discard.add_argument("id", type=int)


def _add_users(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="users", metavar="command", required=True)
    commands.add_parser("list", help="every user: name, role, active or not")
    add = commands.add_parser("add", help="make a user; the password comes from standard input")
    password = commands.add_parser("password", help="set a password; the user's sessions end")
    hashed = commands.add_parser("hash", help="what a user is called in the logs")
    deactivate = commands.add_parser("deactivate", help="end sessions and API keys, let nobody in")
    grant = commands.add_parser("grant", help="let a user read or write a collection")
    for command in (add, password, hashed, deactivate, grant):
        command.add_argument("username")
    add.add_argument("--role", choices=get_args(Role), default="reader", help="default: reader")
    for command in (add, password):
        command.add_argument(
            "--generate", action="store_true", help="make a password up, and show it once"
        )
    grant.add_argument("collection")
    grant.add_argument("access", choices=("read", "write"), help="write holds read")


def _add_parts(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="parts", metavar="command", required=True)
    receive = commands.add_parser("receive", help="take it from standard input, and compare it")
    put = commands.add_parser("put", help="do what receive told, in one transaction")
    discard = commands.add_parser("discard", help="forget what was received")
    for command in (receive, put, discard):
        command.add_argument("name", type=_plain, help="what it is called here")
    put.add_argument("--agreed", required=True, help="the word for all that receive told")


def _minutes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_MINUTES):
        raise argparse.ArgumentTypeError(f"1 to {MOST_MINUTES}")
    return int(text)


def _plain(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{1,64}", name):
        raise argparse.ArgumentTypeError("small letters and digits only")
    return name


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit 0 done, 1 failed, 2 refused before anything was touched."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if not chosen.embedded and chosen.command is None:
        parser.error("give a command, or --embedded")
    try:
        code = _run(chosen)
    except StartRefused as refusal:
        from slipway_backend.settings import debug_wanted  # noqa: PLC0415

        if chosen.debug or debug_wanted():
            raise
        sys.stderr.write(f"slipway-backend: {refusal}\n")
        code = REFUSED
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


# A command imports its own parts only: `health` runs every few seconds, `migrate` needs no model.
def _run(chosen: argparse.Namespace) -> int:
    if chosen.embedded:
        from slipway_backend.embedded import run_embedded  # noqa: PLC0415

        run_embedded(chosen.data, chosen.port)
        return 0
    if chosen.command == "ingest":
        # For another machine than the service's: none of its settings count.
        from slipway_backend.bulk.command import run as run_ingest  # noqa: PLC0415

        return run_ingest(chosen)
    if chosen.command == "health":
        live = probe.serve_is_live() if chosen.process == "serve" else probe.worker_is_live()
        return 0 if live else 1
    from slipway_backend.logs import configure_logging  # noqa: PLC0415
    from slipway_backend.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    service = "backend" if chosen.command == "serve" else str(chosen.command)
    if chosen.command == "log-level":
        return log_level.run(settings.log_level, chosen.level, chosen.minutes)
    configure = partial(configure_logging, service, settings.generation)
    configure(settings.log_level)
    if chosen.command in {"serve", "worker"}:
        log_level.follow(log_level.ASKED, settings.log_level, configure)
    if chosen.command == "serve":
        from slipway_backend.server import serve  # noqa: PLC0415

        serve(settings)
    elif chosen.command == "worker":
        import asyncio  # noqa: PLC0415

        from slipway_backend.worker import run_worker  # noqa: PLC0415

        asyncio.run(run_worker(settings))
        sys.stdout.flush()
        sys.stderr.flush()
        # Without waiting for threads: one may ask an embedding server for EMBEDDING_SECONDS, and
        # what it would bring is nobody's any more.
        os._exit(0)
    elif chosen.command == "migrate":
        from slipway_backend.migrate import migrate  # noqa: PLC0415

        migrate(settings)
    else:
        return _operate(settings, chosen)
    return 0


def _operate(settings: Settings, chosen: argparse.Namespace) -> int:
    if chosen.command == "users":
        from slipway_backend.user_commands import run_users  # noqa: PLC0415

        code = run_users(settings, chosen)
    elif chosen.command == "parts":
        from slipway_backend.parts.commands import run as run_parts  # noqa: PLC0415

        code = run_parts(settings, chosen)
    elif chosen.command == "index":
        from slipway_backend.search.commands import run_index_check  # noqa: PLC0415

        code = run_index_check(settings, repair=chosen.repair)
    elif chosen.command == "evaluate":
        from slipway_backend.evaluate import run_evaluation  # noqa: PLC0415

        code = run_evaluation(settings, chosen.folder)
    else:
        from slipway_backend.embedding_sets.commands import run  # noqa: PLC0415

        code = run(settings, chosen)
    return code
