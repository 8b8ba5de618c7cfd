"""The log page asks within bounds, never in the store's own words, and a missing store is said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from slipway_monitoring.console import app, logs
from slipway_monitoring.settings import Settings

NOW = 1_790_000_000.0
PASSWORD = "the console's own password"


@pytest.mark.parametrize(
    ("told", "query"),
    [
        ({}, "*"),
        ({"service": "edge", "level": "error"}, 'service:="edge" level:in("error")'),
        ({"level": "warning"}, 'level:in("warning","error")'),
        ({"request": "a-b_c.1"}, 'request_id:="a-b_c.1"'),
        (
            {"text": '"a" | x'},
            '* | pack_logfmt as whole | filter whole:~"\\"a\\"\\\\ \\\\|\\\\ x" | delete whole',
        ),
    ],
)
def test_what_is_typed_is_never_the_stores_language(told: dict[str, str], query: str) -> None:
    assert logs.read(told, NOW).query == query


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"seconds": "soon"}, "are numbers"),
        ({"seconds": "-1"}, "does not end before it begins"),
        ({"from": "0", "to": str(NOW)}, "no more than 31 days"),
        ({"seconds": "nan"}, "does not end before it begins"),
        ({"level": "loud"}, "level is one of warning, error"),
        ({"service": 'a"b'}, "small letters"),
        ({"request": "a b"}, "small letters"),
        ({"text": "x" * 201}, "200 characters at most"),
    ],
)
def test_a_question_without_bounds_is_refused(told: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        logs.read(told, NOW)


class Store:
    """A log store with two lines; it is away when it is told to be."""

    def __init__(self) -> None:
        self.away = False
        self.refuses = False
        self.asked: list[dict[str, str]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What it says."""
        if self.away:
            raise httpx.ConnectError("connection refused")
        if self.refuses:
            return httpx.Response(400)
        told = {name: each[0] for name, each in parse_qs(request.content.decode()).items()}
        self.asked.append(told)
        if request.url.path.endswith("field_values"):
            return httpx.Response(200, json={"values": [{"value": "worker"}, {"value": "edge"}]})
        if "| stats" in told["query"]:
            counted = {"_time": "2026-09-21T14:13:20Z", "level": "info", "lines": "7"}
            return httpx.Response(200, text=json.dumps(counted))
        kept = [
            {"_time": f"2026-09-21T14:13:2{number}Z", "_msg": "request", "_stream": "{}"}
            | {"service": "edge", "level": "info", "instance": "edge-1", "status": "200"}
            for number in range(2)
        ]
        return httpx.Response(200, text="\n".join(map(json.dumps, kept)))


@pytest.fixture
def store() -> Store:
    return Store()


def settings(tmp_path: Path, *, kept: bool = True) -> Settings:
    return Settings(console_password=PASSWORD, data_directory=tmp_path, logs=kept)


@pytest.fixture
async def browser(store: Store, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has logged in at the console."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(store.answer)) as http:
        transport = httpx.ASGITransport(app.make(settings(tmp_path), http))
        async with httpx.AsyncClient(transport=transport, base_url="https://slipway") as made:
            await made.post("/ops/api/login", json={"password": PASSWORD})
            yield made


async def test_lines_are_told_the_newest_first(browser: httpx.AsyncClient, store: Store) -> None:
    told = (await browser.get("/ops/api/logs?seconds=60&service=edge")).json()
    assert [line["time"][-3:] for line in told["lines"]] == ["21Z", "20Z"]
    assert told["lines"][0]["fields"] == {"status": "200"}
    assert told["whole"]
    (asked,) = store.asked
    assert asked["limit"] == "500"
    assert float(asked["end"]) - float(asked["start"]) == pytest.approx(60)


async def test_counts_are_told_by_level_over_the_whole_time(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"/ops/api/logs/counts?from={NOW - 100}&to={NOW}&text=x")
    told = answer.json()
    assert sum(told["levels"]["info"]) == 7
    assert len(told["times"]) == len(told["levels"]["info"])
    assert told["services"] == ["edge", "worker"]


@pytest.mark.parametrize("path", ["logs", "logs/counts"])
async def test_a_store_that_is_away_is_missing_and_not_empty(
    browser: httpx.AsyncClient, store: Store, path: str
) -> None:
    store.away = True
    answer = await browser.get(f"/ops/api/{path}")
    assert answer.status_code == 503
    assert "the log store does not answer" in answer.json()["detail"]
    store.away, store.refuses = False, True
    assert (await browser.get(f"/ops/api/{path}")).status_code == 503
    assert (await browser.get(f"/ops/api/{path}?seconds=x")).status_code == 400


async def test_an_environment_without_a_store_says_so(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(app.make(settings(tmp_path, kept=False)))
    async with httpx.AsyncClient(transport=transport, base_url="https://slipway") as made:
        assert (await made.get("/ops/api/logs")).status_code == 401
        await made.post("/ops/api/login", json={"password": PASSWORD})
        answer = await made.get("/ops/api/logs")
        assert answer.status_code == 404
        assert "its file says `logs: null`" in answer.json()["detail"]
