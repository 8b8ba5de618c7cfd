"""Command lines that ask a backend or a worker how much it writes, or to write more for a while."""

from __future__ import annotations

Argv = tuple[str, ...]


def ask(container: str, level: str, minutes: int) -> Argv:
    """Print what level counts in a container, as JSON; change it for some minutes where given."""
    change = (level, "--minutes", str(minutes)) if level else ()
    return ("docker", "exec", container, "slipway-backend", "log-level", *change)
