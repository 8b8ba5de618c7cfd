"""For those who have Grafana: a data source, a folder and dashboards, of the console's panels."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from slipway_monitoring.console.panels import PANELS, TOPICS, Panel, Topic

#: What dashboards call Prometheus by, whatever else is there.
SOURCE = "slipway-prometheus"
FOLDER = "Slipway"
RELEASES = "max by (release, generation) (slipway_release_timestamp_seconds{})"
#: The panels' units in Grafana's words (its list of value formats).
UNITS = {
    "requests/s": "reqps",
    "share": "percentunit",
    "s": "s",
    "bytes": "bytes",
    "documents/min": "short",
    "tokens/s": "short",
}
WIDTH, HEIGHT = 12, 8


def write(folder: Path, prometheus_url: str) -> None:
    """Write everything that Grafana reads when it starts, below its folder of provisioning."""
    for name, text in files(prometheus_url).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def files(prometheus_url: str) -> dict[str, str]:
    """The files by their paths."""
    source = {
        "name": FOLDER,
        "uid": SOURCE,
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus_url,
        "editable": False,
    }
    provider = {
        "name": FOLDER,
        "folder": FOLDER,
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": "/etc/grafana/provisioning/dashboards"},
    }
    return {
        "datasources/slipway.yaml": _yaml({"apiVersion": 1, "datasources": [source]}),
        "dashboards/slipway.yaml": _yaml({"apiVersion": 1, "providers": [provider]}),
        **{f"dashboards/{_name(topic)}.json": _dashboard(topic) for topic in TOPICS},
    }


def _dashboard(topic: Topic) -> str:
    made = (
        dashboard.Dashboard(f"{FOLDER}: {topic}")
        .uid(_name(topic))
        .tags(["slipway"])
        .refresh("30s")
        .time("now-6h", "now")
        .readonly()
        .annotation(_releases())
    )
    panels = (panel for panel in PANELS if panel.topic == topic)
    for number, panel in enumerate(panels, 1):
        made.with_panel(_panel(panel, number))
    return str(JSONEncoder(sort_keys=True, indent=2).encode(made.build())) + "\n"


def _panel(panel: Panel, number: int) -> timeseries.Panel:
    target = prometheus.Dataquery().expr(panel.query).ref_id("A").range()
    if panel.legend:
        target.legend_format(f"{{{{{panel.legend}}}}}")
    return (
        timeseries.Panel()
        .id(number)
        .title(panel.title)
        .description(f"Only {panel.only}." if panel.only else "")
        .unit(UNITS[panel.unit])
        .no_value("no data: not known")
        .span(WIDTH)
        .height(HEIGHT)
        .datasource(_source())
        .with_target(target)
    )


def _releases() -> dashboard.AnnotationQuery:
    """Each release as a line across the graphs: a generation that was not there a minute ago."""
    return (
        dashboard.AnnotationQuery()
        .name("Releases")
        .datasource(_source())
        .enable(True)
        .icon_color("blue")
        .expr(f"{RELEASES.format('')} unless {RELEASES.format(' offset 1m')}")
    )


def _source() -> DataSourceRef:
    return DataSourceRef(type_val="prometheus", uid=SOURCE)


def _name(topic: Topic) -> str:
    return f"slipway-{topic.lower().replace(' ', '-')}"


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
