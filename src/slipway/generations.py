"""Ending the containers of a generation."""

from __future__ import annotations

from slipway.commands import compose
from slipway.config import names
from slipway.run import run

# Each container has its own grace (docs/decisions/0018): this only ends a wait for a hung engine.
STOP_LIMIT_SECONDS = 3600
SIGNAL_SECONDS = 60


def stop(environment: str, generation: int) -> None:
    """Stop and remove a generation that nobody is led to any more."""
    project = names.generation_project(environment, generation)
    end_drain(project)
    run(compose.down(project), timeout=STOP_LIMIT_SECONDS)


def end_drain(project: str) -> None:
    """Have backends that are stopped next finish what they answer, and not wait for more.

    Told to stop once, a backend serves on until whoever leads callers to it has noticed; told
    twice, it ends. Where there is none that runs, nothing is to be told.
    """
    run(compose.signal(project, "backend", "SIGTERM"), check=False, timeout=SIGNAL_SECONDS)
