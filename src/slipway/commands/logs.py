"""Command lines that ask an environment's log store, from inside its own container."""

from __future__ import annotations

Argv = tuple[str, ...]

_SEARCH = "/select/logsql/query"


def search(container: str) -> Argv:
    """Print lines as the store has them, one JSON object each; what is wanted comes on stdin."""
    return ("docker", "exec", "--interactive", container, "slipway-logs", "ask", _SEARCH)
