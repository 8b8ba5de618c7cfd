"""What our own services write needs no guessing: it has event and level, or the event alone."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from pathlib import Path
from types import ModuleType

import pytest

from slipway_logs.lines import document

ROOT = Path(__file__).parents[3]
#: Never in a line, whoever writes it.
NEVER = ("password", "token", "authorization", "cookie", "question", "content")


def module(path: str) -> ModuleType:
    """A service's module for its log, which needs nothing else of the service."""
    spec = importlib.util.spec_from_file_location("service_logs", ROOT / path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def kept(text: str, service: str) -> dict[str, object]:
    """The document of a line of a service."""
    tag = f"slipway-prod-platform-{service}-1"
    line = {"log": f"{text}\n", "attrs": {"tag": tag}, "time": "2026-11-30T12:00:00.1Z"}
    found = document(json.dumps(line))
    assert found is not None
    assert found["service"] == service
    return found


def test_the_edges_requests_are_told_with_their_id_and_time() -> None:
    text = (ROOT / "infra/nginx/snippets/logging/access.conf").read_text()
    written = "".join(re.findall(r"^    '(.*?)';?$", text, re.MULTILINE))
    found = kept(written.replace("$edge_request_id", "a-request"), "edge")
    assert (found["_msg"], found["request_id"]) == ("request", "a-request")
    assert {"seconds", "status", "path", "method"} <= set(found)
    assert not [name for name in found if name in NEVER]
    # A query carries what people ask.
    assert "$request_uri" not in text and "$args" not in text


def test_the_edges_agent(capsys: pytest.CaptureFixture[str]) -> None:
    formatter = module("infra/nginx/agent/src/slipway_edge/log.py").JsonLines()
    record = logging.LogRecord("agent", logging.WARNING, "", 1, "no peer of %s", ("g1",), None)
    found = kept(formatter.format(record), "edge")
    assert (found["level"], found["_msg"]) == ("warning", "no peer of g1")


@pytest.mark.parametrize(
    ("path", "service", "words"),
    [
        ("services/backup/src/slipway_backup/logs.py", "backup", ("error", "backup_failed")),
        (
            "services/monitoring/src/slipway_monitoring/logs.py",
            "probe",
            ("error", "probe", "backup_failed"),
        ),
    ],
)
def test_a_service_of_python(
    path: str, service: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    logs = module(path)
    if hasattr(logs, "_state"):
        logs._state["least"] = 0
    logs.log(*words, reason="no room")
    found = kept(capsys.readouterr().out.rstrip(), service)
    assert (found["level"], found["_msg"]) == ("error", "backup_failed")
    assert found["reason"] == "no room"
