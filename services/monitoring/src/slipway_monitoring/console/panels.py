"""What is drawn over time: each panel is one question to Prometheus, and nothing else is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Topic = Literal["Users", "Questions and documents", "What it stands on"]


@dataclass(frozen=True)
class Panel:
    """One graph: `legend` is the label that tells its lines apart, empty for a single line.

    `unit` is `requests/s`, `share` (0 to 1), `s`, `documents/min`, `tokens/s` or `bytes`. `only`
    says where it has data at all; empty for everywhere. Those of a `topic` stand together.
    """

    name: str
    topic: Topic
    title: str
    unit: str
    query: str
    legend: str = ""
    only: str = ""


USERS: Topic = "Users"
WORK: Topic = "Questions and documents"
GROUND: Topic = "What it stands on"

PANELS = (
    Panel("requests", USERS, "Requests", "requests/s", "slipway:requests:rate5m", "service"),
    Panel("errors", USERS, "Failures", "requests/s", "slipway:errors:rate5m", "service"),
    Panel("duration", USERS, "Time to answer, p95", "s", "slipway:duration_p95:5m", "service"),
    Panel(
        "memory",
        GROUND,
        "Memory of the fullest container",
        "share",
        "slipway:saturation:memory",
        "service",
    ),
    Panel(
        "cpu",
        GROUND,
        "Processor of the busiest container",
        "share",
        "slipway:saturation:cpu",
        "service",
    ),
    Panel("budget", USERS, "Error budget left", "share", "slipway:error_budget_left", "objective"),
    Panel("stages", WORK, "Stages of an answer, p95", "s", "slipway:stage:p95", "stage"),
    Panel(
        "documents",
        WORK,
        "Documents taken in",
        "documents/min",
        "slipway:documents:per_minute",
        "outcome",
    ),
    Panel("queue", WORK, "Oldest job that waits", "s", "slipway:queue:seconds"),
    Panel("found", WORK, "Questions that found something", "share", "slipway:answers:found_ratio"),
    Panel(
        "first_token",
        WORK,
        "First word of an answer, p95",
        "s",
        "slipway:first_token:p95",
        only="with a language model",
    ),
    Panel(
        "tokens",
        WORK,
        "Words of the language model",
        "tokens/s",
        "slipway:tokens:per_second",
        only="with a language model",
    ),
    Panel(
        "lag",
        GROUND,
        "Replicas behind",
        "s",
        "pg_replication_lag_seconds and on (instance) pg_replication_is_replica == 1",
        "instance",
        only="with replicas",
    ),
    Panel(
        "point",
        GROUND,
        "Age of the newest recovery point",
        "s",
        "slipway_backup_point_age_seconds",
        only="with backups",
    ),
    Panel(
        "disk",
        GROUND,
        "Free on the engine's disk",
        "bytes",
        'min by (mountpoint) (node_filesystem_avail_bytes{mountpoint="/"})',
    ),
)
TOPICS: tuple[Topic, ...] = (USERS, WORK, GROUND)
BY_NAME = {panel.name: panel for panel in PANELS}
