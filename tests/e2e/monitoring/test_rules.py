"""Every alert by promtool, in the image that is released: it fires once and stays quiet once."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator

import alert_cases
import docker
import pytest
import yaml
from docker.models.containers import Container

FOLDER = "/tmp/rules"
READ = """
import json, pathlib
print(json.dumps({each.name: each.read_text() for each in pathlib.Path("/tmp/rules").iterdir()}))
"""


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    """A container of the image that does nothing by itself."""
    engine = docker.from_env()
    made = engine.containers.run(
        image, ["infinity"], entrypoint="sleep", network_mode="none", init=True, detach=True
    )
    try:
        yield made
    finally:
        made.remove(force=True)
        engine.close()


@pytest.fixture(scope="module")
def rules(container: Container) -> dict[str, str]:
    """Every file of rules that Prometheus is given, by name."""
    done = container.exec_run(["slipway-monitoring", "rules", FOLDER])
    assert done.exit_code == 0, done.output
    told = container.exec_run(["python3", "-c", READ])
    found = json.loads(told.output)
    assert isinstance(found, dict)
    return found


def put(container: Container, documents: dict[str, str]) -> None:
    """Put files of tests where promtool looks for them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in documents.items():
            entry = tarfile.TarInfo(f"cases/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    container.put_archive("/tmp", packed.getvalue())


def test_prometheus_takes_every_rule(container: Container, rules: dict[str, str]) -> None:
    for name in rules:
        done = container.exec_run(["promtool", "check", "rules", f"{FOLDER}/{name}"])
        assert done.exit_code == 0, done.output.decode()


def test_every_alert_fires_and_stays_quiet(container: Container, rules: dict[str, str]) -> None:
    documents = alert_cases.documents(rules, FOLDER)
    put(container, documents)
    files = [f"/tmp/cases/{name}" for name in documents]
    done = container.exec_run(["promtool", "test", "rules", *files])
    assert done.exit_code == 0, done.output.decode()[-6000:]


# For a day of a month 1.5 of 100 requests fail, where 0.1 may: half of the month's budget.
BUDGET = {
    "rule_files": [f"{FOLDER}/objectives.yaml"],
    "evaluation_interval": "1m",
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                {"series": "slipway_edge_failed_total", "values": "0+15x1500"},
                {"series": "slipway_edge_requests_total", "values": "0+1000x1500"},
            ],
            "promql_expr_test": [
                {
                    "expr": "round(slipway:error_budget_left, 0.01)",
                    "eval_time": moment,
                    "exp_samples": [{"labels": '{objective="availability"}', "value": left}],
                }
                for moment, left in (("10m", 1.0), ("12h", 0.75), ("24h", 0.5))
            ],
        }
    ],
}


def test_a_budget_is_spent_evenly_by_what_fails(
    container: Container, rules: dict[str, str]
) -> None:
    assert "objectives.yaml" in rules
    put(container, {"budget.yaml": yaml.safe_dump(BUDGET)})
    done = container.exec_run(["promtool", "test", "rules", "/tmp/cases/budget.yaml"])
    assert done.exit_code == 0, done.output.decode()[-6000:]


@pytest.mark.parametrize("level", ["minimal", "standard", "full"])
def test_prometheus_takes_the_configuration_of_each_level(container: Container, level: str) -> None:
    script = (
        "from pathlib import Path; from slipway_monitoring import prometheus, settings;"
        f" own = settings.Settings(monitoring={level!r}, backups=True,"
        f" work_directory=Path('/tmp/{level}')); prometheus.render(own)"
    )
    python = "/opt/slipway/venv/bin/python"
    made = container.exec_run([python, "-c", script])
    assert made.exit_code == 0, made.output.decode()
    done = container.exec_run(["promtool", "check", "config", f"/tmp/{level}/prometheus.yaml"])
    assert done.exit_code == 0, done.output.decode()
