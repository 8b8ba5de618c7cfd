"""What Debian's parts are told, for each level and for whom alerts are sent to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway_monitoring import alertmanager, exporters, prometheus
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.settings import Alerts, Mail, Settings, load

Make = Callable[..., Settings]


@pytest.mark.parametrize(("level", "seconds"), [("minimal", 60), ("standard", 30), ("full", 15)])
def test_a_level_decides_how_often_and_for_how_long(make: Make, level: str, seconds: int) -> None:
    own = make(monitoring=level)
    words = prometheus.render(own)
    told = yaml.safe_load((own.work_directory / "prometheus.yaml").read_text())
    assert told["global"]["scrape_interval"] == f"{seconds}s"
    days = prometheus.EXTENTS[own.monitoring].days
    assert f"--storage.tsdb.retention.time={days}d" in words
    assert (own.work_directory / "rules" / "objectives.yaml").is_file()


def test_more_is_kept_the_higher_the_level() -> None:
    minimal, standard, full = prometheus.EXTENTS.values()
    assert minimal.seconds > standard.seconds > full.seconds
    assert minimal.days < standard.days < full.days
    assert len(minimal.dropped) > len(standard.dropped) > len(full.dropped)


def test_patroni_is_asked_only_where_its_certificate_can_be_checked(make: Make) -> None:
    def jobs(own: Settings) -> dict[str, Any]:
        told = prometheus.configuration(own, Path("/rules"))
        return {each["job_name"]: each for each in told["scrape_configs"]}

    assert "patroni" not in jobs(make())
    asked = jobs(make(secrets=("data_ca.crt",)))["patroni"]
    assert asked["tls_config"]["ca_file"].endswith("data_ca.crt")
    assert asked["scheme"] == "https"


def test_people_are_told_on_every_way_that_is_given(make: Make) -> None:
    nobody = alertmanager.configuration(make())
    assert nobody["receivers"] == [{"name": "nobody"}, {"name": "people"}]
    mail = Mail(server="mail.example.org:587", sender="a@example.org", to="b@example.org", user="a")
    own = make(
        alerts=Alerts(mail=mail),
        secrets=(
            "alert_webhook_url",
            "alert_slack_url",
            "alert_dead_man_url",
            "alert_mail_password",
        ),
    )
    told = alertmanager.configuration(own)
    receivers = {each["name"]: each for each in told["receivers"]}
    people = receivers["people"]
    assert people["email_configs"][0]["auth_password_file"].endswith("alert_mail_password")
    assert people["slack_configs"][0]["api_url_file"].endswith("alert_slack_url")
    assert people["webhook_configs"][0]["url_file"].endswith("alert_webhook_url")
    first = told["route"]["routes"][0]
    assert first["receiver"] == "dead-man"
    assert first["repeat_interval"] == "1m"
    # A secret is named, never written.
    assert "content" not in yaml.safe_dump(told).replace("content_type", "")


def test_no_two_faults_silence_each_other(make: Make) -> None:
    rules = alertmanager.configuration(make())["inhibit_rules"]
    silenced = {
        rule["source_matchers"][0].removeprefix("alertname="): rule["target_matchers"][1]
        for rule in rules[: len(alertmanager.EXPLAINS)]
    }
    causes = list(alertmanager.EXPLAINS)
    for place, cause in enumerate(causes):
        for earlier in causes[: place + 1]:
            assert earlier in silenced[cause], f"{cause} silences {earlier}"


def test_the_exporter_of_the_database_checks_certificates_where_there_are_any(make: Make) -> None:
    def options(own: Settings) -> dict[str, str]:
        module = exporters.configuration(own)["auth_modules"]["slipway"]
        assert module["userpass"] == {"username": "slipway_monitor", "password": "word"}
        found = module["options"]
        assert isinstance(found, dict)
        return found

    assert options(make(monitor_password="word"))["sslmode"] == "disable"
    assert (
        options(make(monitor_password="word", secrets=("data_ca.crt",)))["sslmode"] == "verify-full"
    )
    with pytest.raises(MonitoringError, match="monitor_password is missing"):
        exporters.configuration(make())


def test_what_holds_a_password_is_read_by_its_owner_alone(make: Make) -> None:
    own = make(monitor_password="word")
    exporters.database(own)
    assert (own.work_directory / "database.yaml").stat().st_mode & 0o077 == 0


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("MONITORING", "everything")
    with pytest.raises(MonitoringError, match="MONITORING"):
        load()
    monkeypatch.setenv("MONITORING", "full")
    (tmp_path / "probe_password").write_text("word")
    assert load().probe_password == "word"
