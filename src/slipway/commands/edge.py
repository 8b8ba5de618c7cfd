"""Command lines that talk to the edge agent inside the edge's container."""

from __future__ import annotations

Argv = tuple[str, ...]

# A request with this header and the edge's pass is let in during maintenance.
ADMITTING_HEADER = "x-slipway-maintenance"


def status(container: str) -> Argv:
    """Print what the edge serves, as JSON."""
    return ("docker", "exec", container, "slipway-edge", "status")


def switch(container: str, generation: int) -> Argv:
    """Switch the edge to a generation; it acknowledges or refuses, in JSON."""
    return ("docker", "exec", container, "slipway-edge", "switch", str(generation))


def maintenance(container: str) -> Argv:
    """Print whether callers are turned away, with the message and the pass, as JSON."""
    return ("docker", "exec", container, "slipway-edge", "maintenance")


def maintain(container: str, message: str | None) -> Argv:
    """Turn callers away with a message, or let them in again when it is None."""
    if message is None:
        return (*maintenance(container), "off")
    return (*maintenance(container), "on", f"--message={message}")
