"""The state of the environment on one screen, out of what Prometheus and Alertmanager told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slipway_monitoring.alertmanager import DEAD_MAN
from slipway_monitoring.console.record import moment
from slipway_monitoring.console.sources import Sample, Samples
from slipway_monitoring.targets import is_server

DAY_SECONDS = 86400
WORST = {"page": 0, "ticket": 1}

#: Name -> expression. What is said of the environment is said from these answers alone.
QUERIES: Mapping[str, str] = {
    "success": "slipway_probe_success",
    # When it last was the other way, within a day; nothing where it never was.
    "failed_at": (
        "max_over_time((timestamp(slipway_probe_success) and slipway_probe_success == 0)[1d:1m])"
    ),
    "answered_at": "slipway_probe_last_success_timestamp_seconds",
    "certificate": "min(slipway_certificate_expiry_timestamp_seconds)",
    "budget": "slipway:error_budget_left",
    "missed": "slipway:error_ratio:1h",
    "requests": "slipway:requests:rate5m",
    "errors": "slipway:errors:rate5m",
    "duration": "slipway:duration_p95:5m",
    "memory": "slipway:saturation:memory",
    "cpu": "slipway:saturation:cpu",
    "stages": "slipway:stage:p95",
    # Each instance counts all of them.
    "documents": "max by (status) (slipway_documents)",
    "jobs": "max by (status) (slipway_jobs)",
    "oldest": "slipway:queue:seconds",
    "found": "slipway:answers:found_ratio",
    "generation": "max(slipway_edge_serving_generation)",
    "maintenance": "max(slipway_edge_maintenance)",
    "running": "slipway_container_running",
    "healthy": "slipway_container_healthy",
    "restarts": "slipway_container_restarts_total",
    "started": "slipway_container_started_timestamp_seconds",
    "database": "pg_up",
    "replica": "pg_replication_is_replica",
    "lag": "pg_replication_lag_seconds",
    "point": "slipway_backup_point_age_seconds",
    "behind": "slipway_backup_archive_behind_seconds",
    "drill_ok": "slipway_backup_drill_ok",
    "drill_at": "slipway_backup_drill_timestamp_seconds",
    "problems": "slipway_backup_problems",
    "disk": 'min(node_filesystem_avail_bytes{mountpoint="/"})',
    "disk_size": 'min(node_filesystem_size_bytes{mountpoint="/"})',
    # Seconds until it is full, if it fills as it did for a day; nothing where it does not fill.
    "disk_full": (
        'min(node_filesystem_avail_bytes{mountpoint="/"} / '
        '(-deriv(node_filesystem_avail_bytes{mountpoint="/"}[1d]) > 0))'
    ),
    "releases": "max by (release, generation) (slipway_release_timestamp_seconds)",
}

Answers = Mapping[str, Samples | None]


def of(
    environment: str, level: str, answers: Answers, alerts: list[dict[str, Any]] | None, now: float
) -> dict[str, Any]:
    """Everything that the page shows; None is what is not known, and `missing` says why."""
    missing = [] if any(each is not None for each in answers.values()) else ["Prometheus"]
    if alerts is None:
        missing.append("Alertmanager")
    return {
        "environment": environment,
        "level": level,
        "at": now,
        "missing": missing,
        "serving": _serving(answers),
        "maintenance": _flag(answers, "maintenance"),
        "objectives": _objectives(answers),
        "services": _services(answers),
        "pipeline": _pipeline(answers),
        "instances": _instances(answers),
        "database": _database(answers),
        "backups": _backups(answers, now),
        "certificate_seconds": _after(_one(answers, "certificate"), now),
        "disk": _disk(answers),
        "releases": _releases(answers),
        "alerts": None if alerts is None else _alerts(alerts),
    }


def _serving(answers: Answers) -> dict[str, Any]:
    """Whether users are answered, by the probe: since when, in seconds since the epoch.

    `since` is None where it is longer than a day, or not known.
    """
    success = _one(answers, "success")
    if success is None:
        return {"state": "unknown", "since": None}
    if success:
        return {"state": "up", "since": _one(answers, "failed_at")}
    return {"state": "down", "since": _one(answers, "answered_at")}


def _objectives(answers: Answers) -> list[dict[str, Any]] | None:
    budgets = _by(answers, "budget", "objective")
    if budgets is None:
        return None
    missed = _by(answers, "missed", "objective") or {}
    return [
        {"name": name, "left": left, "missed_1h": missed.get(name)}
        for name, left in sorted(budgets.items())
    ]


def _services(answers: Answers) -> list[dict[str, Any]] | None:
    parts = ("requests", "errors", "duration", "memory", "cpu")
    known = {name: _by(answers, name, "service") for name in parts}
    if all(each is None for each in known.values()):
        return None
    names = sorted({name for each in known.values() for name in each or ()})
    return [
        {"service": name} | {part: (known[part] or {}).get(name) for part in parts}
        for name in names
    ]


def _pipeline(answers: Answers) -> dict[str, Any]:
    return {
        "stages": _by(answers, "stages", "stage"),
        "documents": _by(answers, "documents", "status"),
        "jobs": _by(answers, "jobs", "status"),
        "oldest_seconds": _one(answers, "oldest"),
        "found": _one(answers, "found"),
    }


def _instances(answers: Answers) -> list[dict[str, Any]] | None:
    running = answers["running"]
    if running is None:
        return None
    told = {
        name: _by(answers, name, "instance") or {} for name in ("healthy", "restarts", "started")
    }
    serving = _one(answers, "generation")
    found = [
        {
            "service": each.labels["service"],
            "generation": each.labels.get("generation", ""),
            "instance": each.labels["instance"],
            "running": bool(each.value),
            "healthy": _true(told["healthy"].get(each.labels["instance"])),
            "restarts": told["restarts"].get(each.labels["instance"]),
            "started": told["started"].get(each.labels["instance"]),
            "serves": _serves(each, serving),
        }
        for each in running
    ]
    return sorted(found, key=lambda each: (each["generation"] == "", each["instance"]))


def _serves(instance: Sample, serving: float | None) -> bool | None:
    generation = instance.labels.get("generation", "")
    return None if serving is None or not generation else generation == f"{serving:.0f}"


def _database(answers: Answers) -> list[dict[str, Any]] | None:
    told = _by(answers, "database", "instance")
    if told is None:
        return None
    # A member whose container is stopped is asked by nobody; of one that runs, it is not known.
    made = {
        each.labels["instance"]: None if each.value else 0.0
        for each in answers["running"] or ()
        if is_server(each.labels["service"])
    }
    up: dict[str, float | None] = {**made, **told}
    replica, lag = (_by(answers, name, "instance") or {} for name in ("replica", "lag"))
    return [
        {
            "member": name,
            "up": _true(value),
            "role": {None: None, 0.0: "primary"}.get(replica.get(name), "replica"),
            # A primary follows nobody.
            "lag_seconds": lag.get(name) if replica.get(name) else None,
        }
        for name, value in sorted(up.items())
    ]


def _backups(answers: Answers, now: float) -> dict[str, Any] | None:
    """How the backups are; None where there are none, or nothing is known of them."""
    problems = _one(answers, "problems")
    if problems is None:
        return None
    return {
        "problems": int(problems),
        "point_age_seconds": _one(answers, "point"),
        "behind_seconds": _one(answers, "behind"),
        "drill_ok": _flag(answers, "drill_ok"),
        "drill_age_seconds": _before(_one(answers, "drill_at"), now),
    }


def _disk(answers: Answers) -> dict[str, Any] | None:
    free, size = _one(answers, "disk"), _one(answers, "disk_size")
    if free is None or not size:
        return None
    full = _one(answers, "disk_full")
    return {
        "free_bytes": free,
        "free_share": free / size,
        "full_in_days": None if full is None else full / DAY_SECONDS,
    }


def _releases(answers: Answers) -> list[dict[str, Any]] | None:
    told = answers["releases"]
    if told is None:
        return None
    found = [
        {
            "release": each.labels["release"],
            "generation": each.labels["generation"],
            "at": each.value,
        }
        for each in told
    ]
    return sorted(found, key=lambda each: -float(str(each["at"])))


def _alerts(told: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What fires, the worst first; silenced and explained ones come last."""
    found = []
    for each in told:
        labels, notes, status = each["labels"], each["annotations"], each["status"]
        if labels["alertname"] == DEAD_MAN:
            continue
        quiet = "silenced" if status["silencedBy"] else ""
        quiet = quiet or ("explained" if status["inhibitedBy"] else "")
        found.append(
            {
                "name": labels["alertname"],
                "severity": labels.get("severity", ""),
                "service": labels.get("service", ""),
                "summary": notes.get("summary", ""),
                "runbook": notes.get("runbook", ""),
                "since": moment(each["startsAt"]),
                "quiet": quiet,
            }
        )
    return sorted(
        found,
        key=lambda each: (bool(each["quiet"]), WORST.get(each["severity"], 2), each["since"]),
    )


def _one(answers: Answers, name: str) -> float | None:
    found = answers[name]
    return found[0].value if found else None


def _flag(answers: Answers, name: str) -> bool | None:
    return _true(_one(answers, name))


def _true(value: float | None) -> bool | None:
    return None if value is None else bool(value)


def _by(answers: Answers, name: str, label: str) -> dict[str, float] | None:
    found = answers[name]
    return None if found is None else {each.labels.get(label, ""): each.value for each in found}


def _after(moment: float | None, now: float) -> float | None:
    return None if moment is None else moment - now


def _before(moment: float | None, now: float) -> float | None:
    return None if moment is None else now - moment
