"""What is drawn over time: each panel is one question to Prometheus, and nothing else is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One graph: `legend` is the label that tells its lines apart, empty for a single line.

    `unit` is `requests/s`, `share` (0 to 1), `s`, `documents/min`, `tokens/s` or `bytes`. `only`
    says where it has data at all; empty for everywhere.
    """

    name: str
    title: str
    unit: str
    query: str
    legend: str = ""
    only: str = ""


PANELS = (
    Panel("requests", "Requests", "requests/s", "slipway:requests:rate5m", "service"),
    Panel("errors", "Failures", "requests/s", "slipway:errors:rate5m", "service"),
    Panel("duration", "Time to answer, p95", "s", "slipway:duration_p95:5m", "service"),
    Panel(
        "memory", "Memory of the fullest container", "share", "slipway:saturation:memory", "service"
    ),
    Panel(
        "cpu", "Processor of the busiest container", "share", "slipway:saturation:cpu", "service"
    ),
    Panel("budget", "Error budget left", "share", "slipway:error_budget_left", "objective"),
    Panel("stages", "Stages of an answer, p95", "s", "slipway:stage:p95", "stage"),
    Panel(
        "documents",
        "Documents taken in",
        "documents/min",
        "slipway:documents:per_minute",
        "outcome",
    ),
    Panel("queue", "Oldest job that waits", "s", "slipway:queue:seconds"),
    Panel("found", "Questions that found something", "share", "slipway:answers:found_ratio"),
    Panel(
        "first_token",
        "First word of an answer, p95",
        "s",
        "slipway:first_token:p95",
        only="with a language model",
    ),
    Panel(
        "tokens",
        "Words of the language model",
        "tokens/s",
        "slipway:tokens:per_second",
        only="with a language model",
    ),
    Panel(
        "lag",
        "Replicas behind",
        "s",
        "pg_replication_lag_seconds and on (instance) pg_replication_is_replica == 1",
        "instance",
        only="with replicas",
    ),
    Panel(
        "point",
        "Age of the newest recovery point",
        "s",
        "slipway_backup_point_age_seconds",
        only="with backups",
    ),
    Panel(
        "disk",
        "Free on the engine's disk",
        "bytes",
        'min by (mountpoint) (node_filesystem_avail_bytes{mountpoint="/"})',
    ),
)
BY_NAME = {panel.name: panel for panel in PANELS}
