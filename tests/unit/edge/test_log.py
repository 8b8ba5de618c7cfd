"""Every event of the agent is one line that a collector can read."""

from __future__ import annotations

import json
import logging
import sys

from slipway_edge.log import JsonLines


def test_an_exception_stays_on_its_events_line() -> None:
    """A traceback over many lines would be torn apart."""
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord(
            "slipway.edge", logging.ERROR, "", 0, "failed: %s", ("why",), sys.exc_info()
        )
    text = JsonLines().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["level"], line["event"]) == ("error", "failed: why")
    assert "ValueError" in line["exception"]
