from __future__ import annotations

import json
import queue
import time
from pathlib import Path

import pytest

from slipway_backend import cli, log_level, logs
from slipway_backend.metrics import Metrics


def asked(level: str, until: float) -> str:
    return json.dumps({"level": level, "until": until})


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (asked("debug", 101), "debug"),
        (asked("debug", 100), "info"),
        (asked("loud", 101), "info"),
        ("", "info"),
        ('{"level": "debug"}', "info"),
        ("[]", "info"),
    ],
)
def test_what_is_over_or_makes_no_sense_asks_for_nothing(text: str, level: str) -> None:
    assert log_level.wanted("info", text, now=100.0)[0] == level


def test_a_level_is_taken_while_it_is_asked_for_and_given_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_level, "LOOK_SECONDS", 0.01)
    path = tmp_path / "level.json"
    taken: queue.Queue[str] = queue.Queue()
    log_level.follow(path, "info", taken.put)
    log_level.ask(path, "debug", 1)
    assert taken.get(timeout=30) == "debug"
    path.write_text(asked("debug", time.time() - 1))
    assert taken.get(timeout=30) == "info"


def test_the_command_says_what_counts_and_for_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_level, "ASKED", tmp_path / "level.json")

    def told(*words: str) -> dict[str, str | None]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["log-level", *words])
        assert ended.value.code == 0
        found: dict[str, str | None] = json.loads(capsys.readouterr().out)
        return found

    assert told() == {"level": "info", "until": None, "after": "info"}
    assert told("debug", "--minutes", "5")["level"] == "debug"
    assert told()["until"] is not None


def test_stages_are_lines_only_where_details_are_wanted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = Metrics("minimal")
    for level in ("info", "debug"):
        logs.configure_logging("worker", "7", level)
        with metrics.stage("parse"):
            pass
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["level"], line["event"], line["stage"]) == ("debug", "stage", "parse")
    logs.configure_logging("worker", "7", "info")
