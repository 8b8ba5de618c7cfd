"""Alertmanager's configuration: who is told, how often, and what is not worth telling besides."""

from __future__ import annotations

from typing import Any

import yaml

from slipway_monitoring.settings import Settings

PORT = 9093
#: What fires always: whoever stops hearing it knows that nobody here would be heard.
DEAD_MAN = "Watchdog"
TITLE = "{{ .CommonLabels.alertname }} ({{ .Status }}) in {{ .CommonLabels.environment }}"
TEXT = (
    "{{ range .Alerts }}{{ .Labels.severity }}: {{ .Annotations.summary }}\n"
    "runbook: {{ .Annotations.runbook }}\n{{ end }}"
)
# One fault makes one page: each explains what stands after it, and of these topics everything else.
EXPLAINS: dict[str, str] = {
    "EngineDown": "containers",
    "DatabaseDown": "database|edge|app|rag|objectives",
    "EdgeDown": "edge|app|rag|objectives",
    "NoBackendReady": "edge|app|rag|objectives",
}
#: What is wrong with these containers then is a part of the same fault.
CONTAINERS = {"DatabaseDown": "postgres.*|backend|worker", "NoBackendReady": "backend"}


def configuration(settings: Settings) -> dict[str, Any]:
    """The whole configuration: everybody that the environment names is told everything."""
    receivers = [{"name": "nobody"}, {"name": "people", **_people(settings)}]
    routes = []
    if dead_man := settings.secret("alert_dead_man_url"):
        told = {"url_file": str(dead_man), "send_resolved": False}
        receivers.append({"name": "dead-man", "webhook_configs": [told]})
        routes.append(
            {
                "receiver": "dead-man",
                "matchers": [f"alertname={DEAD_MAN}"],
                "group_wait": "0s",
                "group_interval": "30s",
                "repeat_interval": "1m",
            }
        )
    routes.append({"receiver": "nobody", "matchers": [f"alertname={DEAD_MAN}"]})
    return {
        "route": {
            "receiver": "people",
            "group_by": ["alertname", "service"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": f"{settings.alerts.repeat_hours}h",
            "routes": routes,
        },
        "inhibit_rules": _inhibitions(),
        "receivers": receivers,
    }


def _inhibitions() -> list[dict[str, Any]]:
    rules = []
    for place, (cause, topics) in enumerate(EXPLAINS.items()):
        # Two that silenced each other would be heard by nobody.
        spared = "|".join((DEAD_MAN, *list(EXPLAINS)[: place + 1]))
        targets = [f'topic=~"{topics}"', f'alertname!~"{spared}"']
        rules.append({"source_matchers": [f"alertname={cause}"], "target_matchers": targets})
    for cause, services in CONTAINERS.items():
        targets = ['topic="containers"', f'service=~"{services}"']
        rules.append({"source_matchers": [f"alertname={cause}"], "target_matchers": targets})
    # Users who get no answer need no second sentence about how slow it is.
    probing = {
        "source_matchers": ["alertname=ProbeFailing"],
        "target_matchers": ['topic=~"edge|app|rag|objectives"', "severity=ticket"],
    }
    # Of one thing, the worse says it.
    worse = {
        "source_matchers": ["severity=page"],
        "target_matchers": ["severity=ticket"],
        "equal": ["topic", "service", "instance", "objective"],
    }
    return [*rules, probing, worse]


def _people(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if webhook := settings.secret("alert_webhook_url"):
        found["webhook_configs"] = [{"url_file": str(webhook), "send_resolved": True}]
    if slack := settings.secret("alert_slack_url"):
        told = {"api_url_file": str(slack), "send_resolved": True, "title": TITLE, "text": TEXT}
        found["slack_configs"] = [told]
    if mail := settings.alerts.mail:
        password = settings.secret("alert_mail_password")
        login = {"auth_username": mail.user} if mail.user else {}
        if password is not None:
            login["auth_password_file"] = str(password)
        found["email_configs"] = [
            {
                "to": mail.to,
                "from": mail.sender,
                "smarthost": mail.server,
                "require_tls": mail.tls,
                "send_resolved": True,
                "headers": {"Subject": TITLE},
                "text": TEXT,
                "html": "",
                **login,
            }
        ]
    return found


def render(settings: Settings) -> list[str]:
    """Write the configuration, and return the words that start the server on it."""
    settings.work_directory.mkdir(parents=True, exist_ok=True)
    main = settings.work_directory / "alertmanager.yaml"
    main.write_text(yaml.safe_dump(configuration(settings), sort_keys=False))
    return [
        "/usr/bin/prometheus-alertmanager",
        f"--config.file={main}",
        f"--storage.path={settings.data_directory / 'alertmanager'}",
        f"--web.listen-address=0.0.0.0:{PORT}",
        f"--web.external-url=https://{settings.domain}/",
        "--web.route-prefix=/",
        # One is enough for one host; it looks for no others.
        "--cluster.listen-address=",
        "--log.level=warn",
        "--log.format=json",
    ]
