"""Prometheus's configuration: what is asked, how often, what is kept, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway_monitoring import objectives
from slipway_monitoring.settings import Level, Settings

HERE = Path(__file__).parent
RUNBOOKS = "docs/runbooks"
PORT = 9090
ENGINE = "figures-engine:8080"


@dataclass(frozen=True)
class Extent:
    """What one level of monitoring costs: seconds between questions, days and bytes kept.

    `dropped` matches the names of figures that are not kept.
    """

    seconds: int
    days: int
    gigabytes: int
    dropped: str


# What a runtime tells of itself is asked for by nobody who is not looking for a leak, and when a
# counter began by nobody at all.
_RUNTIMES = ".*_created|go_.*|python_.*|process_(virtual|max)_.*|promhttp_.*|net_conntrack_.*"
# Whatever else of its family goes: alerts are made of it.
KEPT = "pg_settings_max_connections|prometheus_sd_http_failures_total"
EXTENTS: Mapping[Level, Extent] = {
    "minimal": Extent(
        60,
        7,
        1,
        f"{_RUNTIMES}|pg_settings_.*|pg_stat_(user|statio)_.*|etcd_debugging_.*|grpc_.*|"
        "prometheus_(sd|engine|http|target)_.*|alertmanager_(cluster|http|nflog)_.*|"
        "node_(cpu_guest|netstat|sockstat|softnet|schedstat|nfs|nvme)_.*|gen_ai_client_token_.*",
    ),
    "standard": Extent(
        30, 15, 3, f"{_RUNTIMES}|etcd_debugging_.*|prometheus_sd_.*|pg_statio_user_.*"
    ),
    "full": Extent(15, 30, 8, ".*_created|go_gc_.*|promhttp_.*"),
}


def configuration(settings: Settings, rules: Path) -> dict[str, Any]:
    """The whole configuration; the rules are files in the folder `rules`."""
    extent = EXTENTS[settings.monitoring]
    return {
        "global": {
            "scrape_interval": f"{extent.seconds}s",
            "scrape_timeout": "10s",
            "evaluation_interval": "15s",
            "external_labels": {"environment": settings.environment},
        },
        "rule_files": [str(rules / "*.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [_static("alertmanager:9093")]}]},
        "scrape_configs": [
            {**job, "metric_relabel_configs": _drop(extent.dropped)} for job in _jobs(settings)
        ],
    }


def _jobs(settings: Settings) -> list[dict[str, Any]]:
    own = {
        "prometheus": f"127.0.0.1:{PORT}",
        "alertmanager": "alertmanager:9093",
        "host": "figures-host:9100",
        "probe": "probe:8080",
    }
    found: list[dict[str, Any]] = [
        {"job_name": name, "static_configs": [_static(address, instance=name)]}
        for name, address in own.items()
    ]
    # It speaks of others: their names are the ones to keep.
    engine = {"honor_labels": True, "static_configs": [_static(ENGINE)]}
    found.append({"job_name": "engine", **engine})
    found.append({"job_name": "services", **_discovered("plain")})
    found.append({"job_name": "database", **_discovered("database")})
    if (authority := settings.secret("data_ca.crt")) is not None:
        tls = {"scheme": "https", "tls_config": {"ca_file": str(authority)}}
        found.append({"job_name": "patroni", **tls, **_discovered("patroni")})
    return found


def _discovered(kind: str) -> dict[str, Any]:
    url = f"http://{ENGINE}/targets/{kind}"
    return {"http_sd_configs": [{"url": url, "refresh_interval": "10s"}]}


def _static(address: str, **labels: str) -> dict[str, Any]:
    return {"targets": [address], **({"labels": labels} if labels else {})}


def _drop(names: str) -> list[dict[str, Any]]:
    mark = "__tmp_kept"
    return [
        {"source_labels": ["__name__"], "regex": KEPT, "target_label": mark, "replacement": "yes"},
        {"source_labels": [mark, "__name__"], "regex": f";({names})", "action": "drop"},
        {"regex": mark, "action": "labeldrop"},
    ]


def rule_files(level: Level, *, backups: bool) -> dict[str, str]:
    """Every file of rules by its name, as text; those of backups where there are any.

    Each alert is told the runbook of its name.
    """
    known = {path.stem: path for path in sorted((HERE / "rules").glob("*.yaml"))}
    if not backups:
        del known["backup"]
    files = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in known.items()}
    files["objectives"] = objectives.rules(
        objectives.read(HERE / "objectives.yaml"), EXTENTS[level].days
    )
    for content in files.values():
        for rule in (rule for group in content["groups"] for rule in group["rules"]):
            if "alert" in rule:
                rule["annotations"]["runbook"] = f"{RUNBOOKS}/{rule['alert']}.md"
    return {
        f"{name}.yaml": yaml.safe_dump(content, sort_keys=False, width=1000)
        for name, content in files.items()
    }


def render(settings: Settings) -> list[str]:
    """Write the configuration, and return the words that start the server on it."""
    extent = EXTENTS[settings.monitoring]
    folder = settings.work_directory
    rules = folder / "rules"
    rules.mkdir(parents=True, exist_ok=True)
    for name, text in rule_files(settings.monitoring, backups=settings.backups).items():
        (rules / name).write_text(text, encoding="utf-8")
    main = folder / "prometheus.yaml"
    main.write_text(yaml.safe_dump(configuration(settings, rules), sort_keys=False))
    return [
        "/usr/bin/prometheus",
        f"--config.file={main}",
        f"--storage.tsdb.path={settings.data_directory / 'prometheus'}",
        f"--storage.tsdb.retention.time={extent.days}d",
        f"--storage.tsdb.retention.size={extent.gigabytes}GB",
        f"--web.listen-address=0.0.0.0:{PORT}",
        # A question that reads too much is refused, before it takes the memory of all others.
        "--query.max-samples=5000000",
        "--query.timeout=20s",
        "--query.max-concurrency=8",
        "--log.level=warn",
        "--log.format=json",
    ]
