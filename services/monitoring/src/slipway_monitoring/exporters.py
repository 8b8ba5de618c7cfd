"""Debian's exporters of the host and of the database, each with what it may look at."""

from __future__ import annotations

from typing import Any

import yaml

from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.settings import Settings

ROLE = "slipway_monitor"
# Figures of the whole host that every container sees; files of the host's are not mounted. Disks
# are seen through the container's own file system, which is on the disk of the engine's data.
COLLECTORS = (
    *("cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "pressure"),
    *("stat", "time", "timex", "uname", "vmstat"),
)


def host() -> list[str]:
    """The words that start the exporter of the host's figures."""
    return [
        "/usr/bin/prometheus-node-exporter",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in COLLECTORS),
        "--collector.filesystem.mount-points-exclude=^/(proc|sys|dev|run|tmp|etc)($|/)",
        "--collector.filesystem.fs-types-exclude=^(proc|sysfs|cgroup2?|devpts|mqueue|tmpfs)$",
        "--web.disable-exporter-metrics",
        "--log.level=warn",
        "--log.format=json",
    ]


def configuration(settings: Settings) -> dict[str, Any]:
    """How the database's servers are logged in to. Raises MonitoringError without a password."""
    if not settings.monitor_password:
        raise MonitoringError(
            f"the secret {settings.secrets_directory / 'monitor_password'} is missing; mount the "
            "volume of secrets there"
        )
    authority = settings.secret("data_ca.crt")
    # A plain server that nobody else copies has no certificate.
    tls = {"sslmode": "verify-full", "sslrootcert": str(authority)} if authority else {}
    return {
        "auth_modules": {
            "slipway": {
                "type": "userpass",
                "userpass": {"username": ROLE, "password": settings.monitor_password},
                "options": {"connect_timeout": "5", **(tls or {"sslmode": "disable"})},
            }
        }
    }


def database(settings: Settings) -> list[str]:
    """Write the configuration, and return the words that start the database's exporter on it."""
    settings.work_directory.mkdir(parents=True, exist_ok=True)
    main = settings.work_directory / "database.yaml"
    main.touch(mode=0o600)
    main.write_text(yaml.safe_dump(configuration(settings), sort_keys=False))
    return [
        "/usr/bin/prometheus-postgres-exporter",
        f"--config.file={main}",
        "--collector.long_running_transactions",
        "--collector.stat_activity_autovacuum",
        "--collector.database_wraparound",
        "--no-collector.stat_user_tables",
        "--no-collector.statio_user_tables",
        "--log.level=error",
        "--log.format=json",
    ]
