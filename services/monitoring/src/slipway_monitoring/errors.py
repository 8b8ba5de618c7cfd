"""What goes wrong: one sentence that says what, where, and what to do about it."""

from __future__ import annotations


class MonitoringError(Exception):
    """Something of monitoring cannot be done."""
