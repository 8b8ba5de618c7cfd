"""What a container of the log store is told, what it starts, and what it says of itself."""

from __future__ import annotations

import io
import json
import threading
import urllib.request
from pathlib import Path

import pytest

from slipway_logs import __main__, bring, collector, settings, store
from slipway_logs.settings import Settings, SettingsError
from slipway_logs.spool import Spool


def read(tmp_path: Path, **more: str) -> Settings:
    """Settings of a test's own."""
    own = {
        "ENVIRONMENT": "prod",
        "DATA_DIRECTORY": str(tmp_path / "data"),
        "WORK_DIRECTORY": str(tmp_path),
    }
    return settings.read(own | more)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ENVIRONMENT", "", "ENVIRONMENT: '' is no environment's name"),
        ("ENVIRONMENT", 'a"b', "is no environment's name"),
        ("LOGS_DAYS", "0", "LOGS_DAYS: '0' is no number above 0"),
        ("LOGS_BYTES", "1g", "LOGS_BYTES: '1g' is no number above 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, **{name: value})


def test_the_store_keeps_days_and_bytes(tmp_path: Path) -> None:
    words = store.words(read(tmp_path, LOGS_DAYS="30", LOGS_BYTES="5000"))
    assert {"-retentionPeriod=30d", "-retention.maxDiskSpaceUsageBytes=5000"} <= set(words)


def test_rsyslog_is_told_every_name_that_its_configuration_asks_for(tmp_path: Path) -> None:
    told = collector.variables(read(tmp_path))
    text = (Path(__file__).parents[3] / "infra/logs/rsyslog.conf").read_text()
    asked = {part.split("`")[0] for part in text.split("`echo $")[1:]}
    assert asked == set(told)
    assert told["OWN_TAG"] == '"tag":"slipway-prod-'


def test_rsyslog_is_answered_line_by_line(tmp_path: Path) -> None:
    line = json.dumps({"log": "x\n", "attrs": {"tag": "slipway-prod-g1-worker-1"}, "time": "t"})
    given = [bring.BEGIN, line, "no line", bring.COMMIT]
    answers = io.StringIO()
    bring.serve([f"{each}\n" for each in given], answers, Spool(tmp_path, 1000))
    assert answers.getvalue().split() == ["OK", "OK", "DEFER_COMMIT", "DEFER_COMMIT", "OK"]
    (file,) = tmp_path.glob("*.jsonl")
    kept = json.loads(file.read_text())
    assert (kept["service"], kept["_msg"]) == ("worker", "x")


def test_a_batch_that_is_not_written_down_is_not_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bring, "PAUSE_SECONDS", 0)
    line = json.dumps({"log": "x\n", "attrs": {"tag": "slipway-prod-g1-worker-1"}, "time": "t"})
    answers = io.StringIO()
    given = (bring.BEGIN, line, bring.COMMIT)
    bring.serve([f"{each}\n" for each in given], answers, Spool(tmp_path, 1))
    assert answers.getvalue().splitlines()[-1].startswith("Error: 1 lines not written down")


def test_figures_are_told_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    own = read(tmp_path)
    with collector.server(own, port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/metrics"

        def told() -> str:
            with urllib.request.urlopen(address) as answer:  # noqa: S310
                return str(answer.read().decode())

        assert "slipway_collector_waiting_bytes 0\n" in told()
        assert "slipway_collector_lines_total" not in told()
        counted = {"name": "main Q", "enqueued": 7, "discarded.full": 0, "discarded.nf": 1}
        (tmp_path / "counted").write_text(f"Mon Nov 30: {json.dumps(counted)}\nhalf {{")
        assert "slipway_collector_lines_total 7\n" in told()
        # The file is emptied, and what it said is known all the same.
        assert (tmp_path / "counted").read_text() == ""
        assert "slipway_collector_discarded_total 1\n" in told()
        server.shutdown()


def test_what_cannot_go_on_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "a b")
    assert __main__.main(["collector"]) == 1
    assert "is no environment's name" in json.loads(capsys.readouterr().out)["reason"]
