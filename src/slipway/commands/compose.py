"""Command lines of Docker Compose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Argv = tuple[str, ...]


def config(files: Sequence[Path], project: str) -> Argv:
    """Merge, check and print a project as JSON; Compose is the only resolver."""
    merged = [argument for file in files for argument in ("--file", str(file))]
    return ("docker", "compose", "--project-name", project, *merged, "config", "--format", "json")


def up(project: str, file: Path, services: Sequence[str] = (), *, recreate: bool = False) -> Argv:
    """Create and start `services` (all when none is named) without waiting for their health."""
    forced = ("--force-recreate",) if recreate else ()
    return (*_project(project, file), "up", "--detach", "--no-deps", *forced, *services)


def run_once(project: str, file: Path, service: str, *words: str) -> Argv:
    """Run a service once, with its own command or with `words`, and remove its container."""
    return (*_project(project, file), "run", "--rm", "--no-deps", "--no-TTY", service, *words)


def logs(project: str, services: Sequence[str], *, follow: bool, tail: str) -> Argv:
    """Print a project's logs with their times; Compose finds the containers by their labels."""
    following = ("--follow",) if follow else ()
    return (
        *("docker", "compose", "--project-name", project, "logs"),
        *("--timestamps", "--tail", tail, *following, *services),
    )


def down(project: str, *, stop_seconds: int | None = None) -> Argv:
    """Stop and remove a project's containers, found by their labels.

    Without `stop_seconds` each container gets the grace that it was made with.
    """
    limit = () if stop_seconds is None else ("--timeout", str(stop_seconds))
    return ("docker", "compose", "--project-name", project, "down", *limit)


def signal(project: str, service: str, name: str) -> Argv:
    """Send a signal to the containers of a project's service that run."""
    begin = ("docker", "compose", "--project-name", project)
    return (*begin, "kill", "--signal", name, service)


def _project(project: str, file: Path) -> Argv:
    return ("docker", "compose", "--project-name", project, "--file", str(file))
