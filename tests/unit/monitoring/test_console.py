"""What the console says of an environment, to whom, and what it says where nothing is known."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_monitoring.console import app, releases, state
from slipway_monitoring.console.panels import PANELS
from slipway_monitoring.console.sessions import Door
from slipway_monitoring.console.sources import POINTS, Sample
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.settings import Settings

NOW = 1_790_000_000.0
NOBODY: dict[str, Any] = dict.fromkeys(state.QUERIES)
PASSWORD = "the console's own password"


def series(value: float, **labels: str) -> Sample:
    return Sample(labels, value)


def said(**answers: tuple[Sample, ...]) -> dict[str, Any]:
    """The state when Prometheus answers everything, these with something."""
    return state.of("prod", "full", dict.fromkeys(state.QUERIES, ()) | answers, [], NOW)


def test_what_nobody_answers_is_not_known_and_nothing_is_zero() -> None:
    found = state.of("prod", "full", NOBODY, None, NOW)
    assert found["missing"] == ["Prometheus", "Alertmanager"]
    assert found["serving"] == {"state": "unknown", "since": None}
    told = ("objectives", "services", "instances", "database", "backups", "disk", "releases")
    assert [found[name] for name in (*told, "alerts", "certificate_seconds")] == [None] * 9
    assert set(found["pipeline"].values()) == {None}


@pytest.mark.parametrize(
    ("answers", "serving"),
    [
        ({"success": (series(1),)}, {"state": "up", "since": None}),
        (
            {"success": (series(1),), "failed_at": (series(NOW - 60),)},
            {"state": "up", "since": NOW - 60},
        ),
        (
            {"success": (series(0),), "answered_at": (series(NOW - 90),)},
            {"state": "down", "since": NOW - 90},
        ),
        ({}, {"state": "unknown", "since": None}),
    ],
)
def test_whether_users_are_served_is_said_by_the_probe(
    answers: dict[str, tuple[Sample, ...]], serving: dict[str, object]
) -> None:
    assert said(**answers)["serving"] == serving


def test_the_generation_that_serves_comes_first_and_a_stopped_container_is_told() -> None:
    instances = said(
        generation=(series(42),),
        running=(
            series(1, service="edge", instance="edge-1"),
            series(0, service="backend", generation="42", instance="g42-backend-1"),
            series(1, service="backend", generation="41", instance="g41-backend-1"),
        ),
        healthy=(series(1, instance="edge-1"), series(0, instance="g41-backend-1")),
        restarts=(series(3, instance="g42-backend-1"),),
    )["instances"]
    assert [(each["instance"], each["serves"]) for each in instances] == [
        ("g41-backend-1", False),
        ("g42-backend-1", True),
        ("edge-1", None),
    ]
    assert [each["running"] for each in instances] == [True, False, True]
    # One that is being started has no health yet.
    assert [each["healthy"] for each in instances] == [False, None, True]
    assert [each["restarts"] for each in instances] == [None, 3, None]


def test_only_a_replica_is_behind() -> None:
    members = said(
        database=(series(1, instance="postgres-1"), series(0, instance="postgres-2-1")),
        replica=(series(0, instance="postgres-1"), series(1, instance="postgres-2-1")),
        lag=(series(0, instance="postgres-1"), series(2.5, instance="postgres-2-1")),
    )["database"]
    assert members == [
        {"member": "postgres-1", "up": True, "role": "primary", "lag_seconds": None},
        {"member": "postgres-2-1", "up": False, "role": "replica", "lag_seconds": 2.5},
    ]


def test_a_stopped_member_does_not_answer_and_of_one_that_is_not_asked_it_is_not_known() -> None:
    members = said(
        database=(series(1, instance="postgres-1"),),
        running=(
            series(1, service="postgres", instance="postgres-1"),
            series(0, service="postgres-2", instance="postgres-2-1"),
            series(1, service="postgres-3", instance="postgres-3-1"),
            series(1, service="edge", instance="edge-1"),
        ),
    )["database"]
    assert [(each["member"], each["up"]) for each in members] == [
        ("postgres-1", True),
        ("postgres-2-1", False),
        ("postgres-3-1", None),
    ]


def test_backups_certificate_and_disk_are_told_as_times_from_now() -> None:
    found = said(
        problems=(series(0),),
        point=(series(900),),
        drill_ok=(series(1),),
        drill_at=(series(NOW - 3600),),
        certificate=(series(NOW + 86400),),
        disk=(series(20e9),),
        disk_size=(series(80e9),),
        disk_full=(series(3 * 86400),),
    )
    assert found["backups"]["drill_age_seconds"] == 3600
    assert found["backups"]["drill_ok"] is True
    assert found["backups"]["behind_seconds"] is None
    assert found["certificate_seconds"] == 86400
    assert found["disk"] == {"free_bytes": 20e9, "free_share": 0.25, "full_in_days": 3.0}


def alert(name: str, severity: str, *, minute: int, quiet: str = "") -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, "service": "postgres"},
        "annotations": {"summary": f"{name} it is", "runbook": f"docs/runbooks/{name}.md"},
        "startsAt": f"2026-11-30T08:{minute:02}:00.123Z",
        "status": {"silencedBy": ["a"] if quiet else [], "inhibitedBy": []},
    }


def test_the_worst_alert_comes_first_and_a_silenced_one_last() -> None:
    told = [
        alert("Watchdog", "none", minute=0),
        alert("Quiet", "page", minute=1, quiet="yes"),
        alert("Later", "ticket", minute=3),
        alert("Worst", "page", minute=5),
    ]
    found = state.of("prod", "full", NOBODY, told, NOW)["alerts"]
    assert [(each["name"], each["quiet"]) for each in found] == [
        ("Worst", ""),
        ("Later", ""),
        ("Quiet", "silenced"),
    ]


def test_releases_are_told_the_newest_first() -> None:
    told = said(
        releases=(
            series(NOW - 900, release="3f2a", generation="41"),
            series(NOW - 60, release="9c1d", generation="42"),
        )
    )["releases"]
    assert [each["generation"] for each in told] == ["42", "41"]


def test_another_password_ends_every_session() -> None:
    assert Door(PASSWORD).key != Door("another password").key


class Prometheus:
    """Answers as Prometheus and Alertmanager do, and counts the questions."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []
        self.away = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused")
        self.asked.append(dict(request.url.params))
        if request.url.path == "/api/v2/alerts":
            return httpx.Response(200, json=[alert("Worst", "page", minute=5)])
        labels = {"service": "edge", "instance": "edge-1", "release": "3f2a", "generation": "42"}
        told = {"metric": labels, "value": [NOW, "1.5"]}
        if request.url.path.endswith("query_range"):
            start = int(request.url.params["start"])
            told = {"metric": labels, "values": [[start, "2"], [start + 1, "NaN"]]}
        return httpx.Response(200, json={"status": "success", "data": {"result": [told]}})


@pytest.fixture
def prometheus() -> Prometheus:
    return Prometheus()


@pytest.fixture
async def client(prometheus: Prometheus, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the console of an environment; nobody has logged in."""
    own = Settings(
        environment="prod",
        domain="slipway.internal",
        monitoring="full",
        console_password=PASSWORD,
        data_directory=tmp_path,
    )
    async with httpx.AsyncClient(transport=httpx.MockTransport(prometheus.answer)) as http:
        transport = httpx.ASGITransport(app.make(own, http))
        async with httpx.AsyncClient(transport=transport, base_url="https://slipway") as made:
            yield made


async def log_in(client: httpx.AsyncClient, password: str = PASSWORD) -> int:
    answer = await client.post("/ops/api/login", json={"password": password})
    return answer.status_code


@pytest.mark.parametrize("path", ["state", "panels", "series?panel=requests&hours=1"])
async def test_nothing_is_told_without_a_login(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/ops/api/{path}")).status_code == 401
    assert await log_in(client, "guess") == 401
    assert (await client.get(f"/ops/api/{path}")).status_code == 401
    assert await log_in(client) == 204
    answer = await client.get(f"/ops/api/{path}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert (await client.post("/ops/api/logout")).status_code == 204
    assert (await client.get(f"/ops/api/{path}")).status_code == 401


async def test_a_session_is_in_a_cookie_that_only_this_page_sends(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/ops/api/login", json={"password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    for word in ("httponly", "secure", "samesite=strict", "path=/ops"):
        assert word in cookie


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"password": 3}', rb'{"password": "\ud800"}', b"x" * 5000]
)
async def test_what_is_no_login_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post("/ops/api/login", content=body)).status_code in {400, 401, 413}


async def test_the_page_asks_nobody_else(client: httpx.AsyncClient) -> None:
    page = await client.get("/ops/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert (await client.get("/ops", follow_redirects=False)).headers["location"] == "/ops/"
    parts = ("index.html", "ops.js", "ops.css", "view.js", "charts.js", "format.js", "icon.svg")
    for name in parts:
        text = (await client.get(f"/ops/static/{name}")).text
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert (
        await client.get("/ops/static/vendor/uplot-1.6.32/uPlot.iife.min.js")
    ).status_code == 200


@pytest.mark.parametrize("path", ["/ops/logs", "/ops/releases"])
async def test_the_pages_beside_it_bring_everything_along(
    client: httpx.AsyncClient, path: str
) -> None:
    page = await client.get(path)
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http://" not in page.text and "https://" not in page.text
    assert "<script>" not in page.text and "style=" not in page.text
    scripts = re.findall(r'src="([^"]+)"', page.text)
    while scripts:
        answer = await client.get(scripts.pop())
        assert answer.status_code == 200
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
        scripts += [f"/ops/static/{name}" for name in re.findall(r'"\./([a-z]+\.js)"', answer.text)]


async def test_what_was_released_is_shown_as_it_was_told_last(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    assert (await client.get("/ops/api/releases")).status_code == 401
    await log_in(client)
    absent = await client.get("/ops/api/releases")
    assert absent.status_code == 404
    assert "the next release" in absent.json()["detail"]
    for told in ([{"number": 1}], [{"number": 1}, {"number": 2, "result": "failed"}]):
        releases.keep(tmp_path, json.dumps(told))
        assert (await client.get("/ops/api/releases")).json() == {"releases": told}


@pytest.mark.parametrize("told", ["", "{}", "[3]", " " * (releases.LARGEST_BYTES + 1)])
async def test_what_is_no_record_of_releases_takes_nothing_away(
    client: httpx.AsyncClient, tmp_path: Path, told: str
) -> None:
    releases.keep(tmp_path, "[]")
    with pytest.raises(MonitoringError, match="releases"):
        releases.keep(tmp_path, told)
    await log_in(client)
    assert (await client.get("/ops/api/releases")).json() == {"releases": []}


async def test_a_record_of_releases_that_is_damaged_is_not_known(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / releases.FILE).write_text("[{")
    await log_in(client)
    assert (await client.get("/ops/api/releases")).status_code == 503


async def test_however_many_look_prometheus_is_asked_once(
    client: httpx.AsyncClient, prometheus: Prometheus
) -> None:
    await log_in(client)
    first = (await client.get("/ops/api/state")).json()
    asked = len(prometheus.asked)
    assert asked == len(state.QUERIES) + 1
    assert (await client.get("/ops/api/state")).json() == first
    assert len(prometheus.asked) == asked
    assert first["services"] == [
        {"service": "edge", **dict.fromkeys(("requests", "errors", "duration"), 1.5)}
        | {"memory": 1.5, "cpu": 1.5}
    ]


async def test_a_graph_has_bounds_and_gaps(
    client: httpx.AsyncClient, prometheus: Prometheus
) -> None:
    await log_in(client)
    for hours in app.HOURS:
        told = (await client.get(f"/ops/api/series?panel=requests&hours={hours}")).json()
        assert len(told["times"]) <= POINTS + 1
        assert len(told["series"][0]["values"]) == len(told["times"])
        assert told["series"][0]["values"][:2] == [2.0, None]
    assert (await client.get("/ops/api/series?panel=requests&hours=9999")).status_code == 400
    assert (await client.get("/ops/api/series?panel=up&hours=1")).status_code == 404
    assert {each["query"] for each in prometheus.asked if "query" in each} == {PANELS[0].query}


async def test_a_prometheus_that_is_away_is_told_as_such(
    client: httpx.AsyncClient, prometheus: Prometheus
) -> None:
    await log_in(client)
    prometheus.away = True
    told = (await client.get("/ops/api/state")).json()
    assert told["missing"] == ["Prometheus", "Alertmanager"]
    assert told["services"] is None
    answer = await client.get("/ops/api/series?panel=requests&hours=1")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["detail"]


def test_a_console_without_a_password_does_not_start() -> None:
    with pytest.raises(MonitoringError, match="console_password is missing"):
        app.make(Settings())


def test_panels_have_names_of_their_own() -> None:
    assert len({panel.name for panel in PANELS}) == len(PANELS)


async def test_everybody_may_read_the_public_page_which_names_nothing(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/status")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "public, max-age=30"
    for secret in ("edge-1", "3f2a", "Worst", "postgres", "prod"):
        assert secret not in page.text
    assert "slipway.internal" in page.text
    told = (await client.get("/status.json")).json()
    assert told["state"] == "up"
    assert len(told["days"]) == 90
    assert (await client.get("/status.css")).headers["content-type"].startswith("text/css")
