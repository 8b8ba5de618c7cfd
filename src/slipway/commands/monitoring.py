"""Command lines that ask those who watch an environment, from inside their own containers."""

from __future__ import annotations

from collections.abc import Sequence

Argv = tuple[str, ...]

#: How much of each objective's budget of errors is left; a rule of Prometheus's keeps it.
BUDGET = "slipway:error_budget_left"
_PROMETHEUS = "http://127.0.0.1:9090"
_ALERTMANAGER = "http://127.0.0.1:9093"


def query(container: str, expression: str) -> Argv:
    """Print what an expression is now, as one JSON array of its series."""
    asked = ("promtool", "query", "instant", "--format=json", _PROMETHEUS, expression)
    return ("docker", "exec", container, *asked)


def alerts(container: str) -> Argv:
    """Print what fires, also what nobody is told of, as one JSON array."""
    return _amtool(container, "alert", "query", "--active", "--silenced", "--inhibited")


def silences(container: str) -> Argv:
    """Print the silences that have not ended, as one JSON array."""
    return _amtool(container, "silence", "query")


def silence(
    container: str, matchers: Sequence[str], duration: str, author: str, reason: str
) -> Argv:
    """Tell nobody of what matches for a while; prints the silence's id.

    `duration` is as Prometheus writes it: 30m, 2h, 1d.
    """
    told = (f"--duration={duration}", f"--author={author}", f"--comment={reason}")
    return _amtool(container, "silence", "add", *told, *matchers)


def end_silence(container: str, identifier: str) -> Argv:
    """Tell of what a silence kept back again."""
    return _amtool(container, "silence", "expire", identifier)


def releases(container: str) -> Argv:
    """Keep for the console's page what was released; the lines come on stdin, as one JSON array."""
    return ("docker", "exec", "--interactive", container, "slipway-monitoring", "releases")


def _amtool(container: str, *words: str) -> Argv:
    tool = ("amtool", f"--alertmanager.url={_ALERTMANAGER}", "--output=json")
    return ("docker", "exec", container, *tool, *words)
