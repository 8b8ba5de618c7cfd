"""An environment that is watched, and somebody who is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docker.models.containers import Container
from site_copy import NAME, Site

RECEIVER = (Path(__file__).parent / "receiver.py").read_text()
ADDRESS = f"slipway-{NAME}-receiver"
SECRETS = {
    "alert_webhook_url": f"http://{ADDRESS}:8080/webhook",
    "alert_slack_url": f"http://{ADDRESS}:8080/slack",
    "alert_dead_man_url": f"http://{ADDRESS}:8080/dead-man",
}
ALERTS = {
    "repeat_hours": 4,
    "mail": {
        "server": f"{ADDRESS}:2525",
        "sender": "slipway@example.org",
        "to": "night@example.org",
        "user": "",
        "tls": False,
    },
}
WAYS = ("webhook", "slack", "mail")
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
#: A fault is told after scrape, evaluation, the alert's own patience and Alertmanager's.
PATIENCE_SECONDS = 300


class Watched:
    """A released environment with all of its monitoring."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.engine = site.engine

    def begin(self) -> None:
        """Release, and start who is told."""
        self.site.set_environment(monitoring="full", alerts=ALERTS)
        for name, value in SECRETS.items():
            put = ("secrets.put", "--env", NAME, "--name", name)
            answer = self.site.invoke(*put, input=value)
            assert answer.exit_code == 0, answer.text
        answer = self.site.invoke("release", "--env", NAME)
        assert answer.exit_code == 0, answer.text
        self.receiver = self.engine.containers.run(
            self.container("probe").image,
            ["-c", RECEIVER],
            entrypoint="python3",
            name=ADDRESS,
            network=f"slipway-{NAME}-alerts",
            read_only=True,
            detach=True,
        )

    def end(self) -> None:
        """Remove who was told; the environment goes with its site."""
        for container in self.engine.containers.list(all=True, filters={"name": f"^{ADDRESS}$"}):
            container.remove(force=True)

    def container(self, service: str, number: int = 1) -> Container:
        """A container of the environment."""
        labels = [
            f"slipway.environment={NAME}",
            f"com.docker.compose.service={service}",
            f"com.docker.compose.container-number={number}",
        ]
        (found,) = self.engine.containers.list(all=True, filters={"label": labels})
        return found

    def start(self, service: str) -> None:
        """Start what a test has stopped, until it is healthy again."""
        self.container(service).start()
        self.eventually(
            lambda: self.container(service).attrs["State"]["Health"]["Status"] == "healthy",
            f"health of {service}",
        )

    def asked(self, path: str) -> Any:
        """What Prometheus answers."""
        url = f"http://127.0.0.1:9090{path}"
        done = self.container("prometheus").exec_run(["python3", "-c", ASK, url])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)["data"]

    def values(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """What an expression is now: labels and value of each of its series."""
        found = self.asked(f"/api/v1/query?query={quote(expression)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def told(self, way: str) -> list[Any]:
        """What came on this way so far."""
        lines = map(json.loads, self.receiver.logs().decode().splitlines())
        return [each["content"] for each in lines if each["way"] == way]

    def heard(self, way: str, alert: str, status: str) -> bool:
        """Whether an alert was told on this way, as firing or as resolved."""
        for content in self.told(way):
            if way == "webhook":
                each = [(a["labels"]["alertname"], a["status"]) for a in content["alerts"]]
                if (alert, status) in each:
                    return True
            elif f"{alert} ({status})" in (content if way == "mail" else json.dumps(content)):
                return True
        return False

    def eventually(self, holds: Callable[[], object], what: str) -> float:
        """Wait until something holds; seconds that it took."""
        began = time.monotonic()
        while not holds():
            waited = time.monotonic() - began
            assert waited < PATIENCE_SECONDS, f"waited {waited:.0f} s in vain for {what}"
            time.sleep(1)
        return time.monotonic() - began
