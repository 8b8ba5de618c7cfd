"""What Grafana is given: the console's questions, and nothing that needs another source."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from slipway_monitoring import grafana
from slipway_monitoring.console.panels import PANELS, TOPICS


def test_every_panel_is_on_one_dashboard_and_asks_the_same(tmp_path: Path) -> None:
    grafana.write(tmp_path, "http://prometheus:9090")
    made = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("dashboards/*.json"))]
    assert len(made) == len(TOPICS)
    assert len({each["uid"] for each in made}) == len(TOPICS)
    found = {}
    for each in made:
        assert [panel["id"] for panel in each["panels"]] == [*range(1, len(each["panels"]) + 1)]
        for panel in each["panels"]:
            assert panel["datasource"]["uid"] == grafana.SOURCE
            (target,) = panel["targets"]
            found[panel["title"]] = (target["expr"], target.get("legendFormat", ""))
    wanted = {
        panel.title: (panel.query, f"{{{{{panel.legend}}}}}" if panel.legend else "")
        for panel in PANELS
    }
    assert found == wanted


def test_panels_do_not_lie_on_each_other(tmp_path: Path) -> None:
    grafana.write(tmp_path, "http://prometheus:9090")
    for path in tmp_path.glob("dashboards/*.json"):
        places = [panel["gridPos"] for panel in json.loads(path.read_text())["panels"]]
        cells = {(each["x"], each["y"]) for each in places}
        assert len(cells) == len(places)
        assert all(each["x"] + each["w"] <= 24 for each in places)


def test_grafana_is_told_where_prometheus_and_the_dashboards_are(tmp_path: Path) -> None:
    grafana.write(tmp_path, "http://elsewhere:9090")
    (source,) = yaml.safe_load((tmp_path / "datasources/slipway.yaml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == (grafana.SOURCE, "http://elsewhere:9090")
    (told,) = yaml.safe_load((tmp_path / "dashboards/slipway.yaml").read_text())["providers"]
    assert told["options"]["path"] == "/etc/grafana/provisioning/dashboards"
    assert told["allowUiUpdates"] is False
