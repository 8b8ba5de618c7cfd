"""What can go wrong at the edge, in words for its operator."""

from __future__ import annotations

from collections.abc import Mapping


class EdgeError(Exception):
    """The edge could not do what was asked; the message says what, where and what next."""


class Refused(EdgeError):
    """The request was understood and turned down; what served before still serves.

    ``facts`` goes into the JSON answer beside the reason.
    """

    def __init__(self, message: str, facts: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.facts: Mapping[str, object] = facts or {}
