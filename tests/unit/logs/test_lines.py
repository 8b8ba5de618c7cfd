"""Whoever writes a line: what is kept of it has the same fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway_logs.lines import KNOWN, document

MOMENT = "2026-11-30T12:00:00.123456789Z"


def kept(text: str, name: str = "slipway-prod-g42-backend-1") -> str:
    """A line as the engine keeps it."""
    return json.dumps({"log": f"{text}\n", "attrs": {"tag": name}, "time": MOMENT})


def made(text: str, name: str = "slipway-prod-g42-backend-1") -> dict[str, Any]:
    """The document of a line."""
    found = document(kept(text, name))
    assert found is not None
    assert found["level"] in KNOWN
    assert found["_msg"]
    assert found["_time"] == MOMENT
    return found


@pytest.mark.parametrize(
    ("name", "service", "generation", "instance"),
    [
        ("slipway-prod-g42-backend-1", "backend", "42", "g42-backend-1"),
        ("slipway-prod-platform-edge-b-1", "edge-b", None, "edge-b-1"),
        ("slipway-prod-platform-postgres-2-1", "postgres-2", None, "postgres-2-1"),
        ("slipway-prod-g7-migrate-run-0a1b2c", "migrate", "7", "g7-migrate-run-0a1b2c"),
    ],
)
def test_who_wrote_it_is_what_the_container_is_called(
    name: str, service: str, generation: str | None, instance: str
) -> None:
    found = made('{"event": "request", "service": "another", "generation": "1"}', name)
    assert found["service"] == service
    assert found["instance"] == instance
    if generation:
        assert found["generation"] == generation


def test_a_services_own_json_keeps_its_fields() -> None:
    found = made(
        '{"time": "x", "level": "info", "event": "request", "request_id": "a-request", '
        '"status": 200, "nothing": null, "empty": ""}'
    )
    assert found["_msg"] == "request"
    assert (found["request_id"], found["status"]) == ("a-request", 200)
    assert not {"time", "event", "nothing", "empty"} & set(found)


@pytest.mark.parametrize(
    ("text", "level", "event"),
    [
        ('{"level": "warn", "ts": "t", "msg": "slow"}', "warning", "slow"),
        ('{"level": "fatal", "message": "gone"}', "error", "gone"),
        ('{"level": "loud", "event": "x"}', "info", "x"),
        ("plain words", "info", "plain words"),
        ("", "info", "(an empty line)"),
        ("{half a line", "info", "{half a line"),
        ("[1, 2]", "info", "[1, 2]"),
        ("2026-11-30 12:00:00,123 WARNING: lost the lock", "warning", None),
        ("2026/11/30 12:00:00 [crit] 12#12: no room", "error", None),
        ("\tof a statement of several lines", "info", "of a statement of several lines"),
    ],
)
def test_other_programs_words_become_ours(text: str, level: str, event: str | None) -> None:
    found = made(text)
    assert found["level"] == level
    assert found["_msg"] == (event or text)


@pytest.mark.parametrize(
    ("who", "severity", "level"),
    [
        ("slipway@slipway slipway-backend", "LOG", "info"),
        ("slipway@slipway slipway-backend", "ERROR", "error"),
        ("@ ", "LOG", "info"),
        ("slipway@slipway [unknown]", "FATAL", "error"),
    ],
)
def test_a_line_of_postgresql_says_which_process_wrote_it(
    who: str, severity: str, level: str
) -> None:
    text = f"2026-11-30 12:00:00.123 UTC [77] {who} {severity}:  still waiting for: a lock"
    found = made(text, "slipway-prod-platform-postgres-1")
    assert found["_msg"] == "still waiting for: a lock"
    assert (found["level"], found["kind"]) == (level, severity)
    assert found["process"] == "77"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no JSON",
        "[]",
        '{"log": "x", "time": "t"}',
        '{"log": "x", "time": "t", "attrs": {"tag": "another-container"}}',
    ],
)
def test_what_is_no_line_of_a_service_is_none(line: str) -> None:
    assert document(line) is None
