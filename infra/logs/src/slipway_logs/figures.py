"""Figures of a collector, as Prometheus reads them: what it read, and what waits."""

from __future__ import annotations

from collections.abc import Mapping

#: Name, kind and meaning of each figure.
FIGURES = {
    "slipway_collector_lines_total": ("counter", "Lines of the environment that were read"),
    "slipway_collector_missed_total": (
        "counter",
        "Times that the engine had removed a container's file before it was read",
    ),
    "slipway_collector_waiting_bytes": ("gauge", "Bytes of lines that wait for the store"),
    "slipway_collector_waiting_limit_bytes": (
        "gauge",
        "Bytes of lines that may wait for the store",
    ),
}


def text(values: Mapping[str, int]) -> str:
    """All of them; `values` are by name."""
    return "".join(
        f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {values[name]}\n"
        for name, (kind, meaning) in FIGURES.items()
    )
