"""Command lines that talk to the edge agent inside the edge's container."""

from __future__ import annotations

Argv = tuple[str, ...]


def status(container: str) -> Argv:
    """Print what the edge serves, as JSON."""
    return ("docker", "exec", container, "slipway-edge", "status")


def switch(container: str, generation: int) -> Argv:
    """Switch the edge to a generation; it acknowledges or refuses, in JSON."""
    return ("docker", "exec", container, "slipway-edge", "switch", str(generation))
