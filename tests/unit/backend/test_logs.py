from __future__ import annotations

import json
import logging

import pytest
import structlog

from slipway_backend.logs import configure_logging, get_logger


def test_own_and_library_events_are_json_lines_of_one_shape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("backend", "7", "info")
    structlog.contextvars.bind_contextvars(request_id="r-1")
    get_logger().info("document_ready", chunks=3)
    get_logger().debug("not_wanted")
    logging.getLogger("some.library").warning("careful")
    logging.getLogger("procrastinate").info("not wanted either")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["document_ready", "careful"]
    assert lines[0]["chunks"] == 3
    for line in lines:
        assert list(line)[:4] == ["time", "level", "service", "generation"]
        assert (line["service"], line["generation"], line["request_id"]) == ("backend", "7", "r-1")
