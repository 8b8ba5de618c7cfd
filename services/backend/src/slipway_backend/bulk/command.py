"""`slipway-backend ingest`: its progress and its summary."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from slipway_backend.bulk.files import LocalFile, find_files
from slipway_backend.bulk.options import API_KEY, PASSWORD
from slipway_backend.bulk.server import Lost, Refused, Server
from slipway_backend.bulk.upload import BulkUpload, Outcome, Summary
from slipway_backend.errors import StartRefused

LINE_SECONDS = 5.0
LISTED = 50


class _Bar:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._failed = 0
        self._said = time.monotonic()

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, what: str, total: int) -> None:
        """Begin a part of the work with ``total`` files."""
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(what, total=total, failed=self._failed)
        if not self._console.is_terminal:
            self._console.print(f"{what}: {total} files")

    def tell(self, outcome: Outcome, _: LocalFile) -> None:
        """Count one file."""
        self._failed += outcome == "failed"
        self._bar.update(self._task, advance=1, failed=self._failed)
        if not self._console.is_terminal and time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            task = self._bar.tasks[0]
            self._console.print(f"{task.completed:.0f} of {task.total:.0f}, {self._failed} failed")


def run(chosen: argparse.Namespace) -> int:
    """Upload; return 0 when every file went through, 1 otherwise. Raises StartRefused."""
    if not chosen.folder.is_dir():
        raise StartRefused(f"{chosen.folder} is not a folder.")
    if not 1 <= chosen.workers <= 64:
        raise StartRefused("--workers takes 1 to 64.")
    if not chosen.url.startswith(("http://", "https://")):
        raise StartRefused("--url begins with http:// or https://.")
    try:
        return asyncio.run(_run(chosen))
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. The same command goes on where it was.\n")
        return 130


async def _run(chosen: argparse.Namespace) -> int:
    files = list(
        find_files(
            chosen.folder,
            prefix=chosen.source_prefix,
            include=chosen.include,
            exclude=chosen.exclude,
        )
    )
    console = Console(stderr=True)
    server = Server(
        chosen.url,
        ca_file=chosen.ca_file,
        patience=chosen.patience,
        tell=lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
        **_credentials(chosen),
    )
    async with server:
        with _Bar(console) as bar:
            upload = BulkUpload(server, chosen.collection, chosen.workers, bar.tell)
            try:
                bar.begin("Uploading", len(files))
                await upload.upload(files, chosen.source_prefix)
                if chosen.wait:
                    bar.begin("Ingesting", upload.unfinished)
                    await upload.wait()
            except (Lost, Refused) as error:
                _report(upload.summary, len(files))
                sys.stdout.write(f"Stopped: {error}\nThe same command goes on where it was.\n")
                return 1
    _report(upload.summary, len(files))
    return 1 if upload.summary.failed else 0


def _credentials(chosen: argparse.Namespace) -> dict[str, str]:
    if chosen.username:
        password = os.environ.get(PASSWORD) or getpass.getpass(f"Password of {chosen.username}: ")
        return {"username": chosen.username, "password": password}
    if chosen.api_key_file:
        try:
            return {"api_key": chosen.api_key_file.read_text(encoding="utf-8").strip()}
        except OSError as error:
            raise StartRefused(
                f"--api-key-file {chosen.api_key_file} cannot be read ({error.strerror})."
            ) from None
    if key := os.environ.get(API_KEY, "").strip():
        return {"api_key": key}
    raise StartRefused(f"Give --api-key-file, the variable {API_KEY}, or --username.")


def _report(summary: Summary, total: int) -> None:
    lines = [
        f"{total} files: {summary.uploaded} uploaded, {summary.unchanged} unchanged, "
        f"{len(summary.failed)} failed"
        + (f", {summary.ready} became ready" if summary.ready else "")
    ]
    for source, why in list(summary.failed.items())[:LISTED]:
        lines.append(f"  {source}: {why}")
    if len(summary.failed) > LISTED:
        lines.append(f"  and {len(summary.failed) - LISTED} more")
    sys.stdout.write("\n".join(lines) + "\n")
