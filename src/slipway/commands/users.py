"""Command lines that ask a backend about its users."""

from __future__ import annotations

Argv = tuple[str, ...]


def hashed(container: str, username: str) -> Argv:
    """Print what a user is called in the logs."""
    return ("docker", "exec", container, "slipway-backend", "users", "hash", "--", username)
