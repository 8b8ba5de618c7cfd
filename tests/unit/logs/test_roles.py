"""What a container of the log store is told, what it starts, and what it says of itself."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from slipway_logs import __main__, collector, settings, store
from slipway_logs.collector import Collector
from slipway_logs.files import Files, Part, Place
from slipway_logs.settings import Settings, SettingsError
from slipway_logs.spool import Spool

Stop = Callable[[], None]


def read(tmp_path: Path, **more: str) -> Settings:
    """Settings of a test's own."""
    engine = tmp_path / "engine"
    engine.mkdir(exist_ok=True)
    (tmp_path / "data").mkdir(exist_ok=True)
    places = {"DATA_DIRECTORY": str(tmp_path / "data"), "ENGINE_DIRECTORY": str(engine)}
    return settings.read({"ENVIRONMENT": "prod"} | places | more)


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


def written(folder: Path, text: str, name: str = "abc") -> None:
    """Have a container of the environment write a line, as the engine keeps it."""
    file = folder / name / f"{name}-json.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    line = {"log": f"{text}\n", "attrs": {"tag": "slipway-prod-g1-worker-1"}, "time": "t"}
    with file.open("a", encoding="utf-8") as engine:
        engine.write(json.dumps(line, separators=(",", ":")) + "\n")


def kept(own: Settings) -> list[str]:
    """The events that are written down for the store."""
    files = sorted((own.data / "spool").glob("*.jsonl"))
    return [json.loads(line)["_msg"] for file in files for line in file.read_text().splitlines()]


def made(own: Settings) -> Collector:
    """A collector of the settings' places."""
    files = Files(own.engine, b'"tag":"slipway-prod-', own.data / "places.json")
    return Collector(files, Spool(own.data / "spool", own.queue_bytes))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(name="running")
def running_collectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Collector], Stop]]:
    """Runs a collector, and gives what tells it to stop and waits for that."""
    monkeypatch.setattr(collector, "LOOK_SECONDS", 0.01)
    stops: list[Stop] = []

    def run(asked: Collector) -> Stop:
        told = Event()
        thread = Thread(target=asked.run, args=(told,))
        thread.start()

        def stop() -> None:
            told.set()
            thread.join()

        stops.append(stop)
        return stop

    yield run
    for each in stops:
        each()


def test_lines_are_written_down_once_whoever_collects(
    tmp_path: Path, running: Callable[[Collector], Stop]
) -> None:
    own = read(tmp_path)
    written(own.engine, "one")
    stop = running(made(own))
    until(lambda: kept(own) == ["one"])
    written(own.engine, "two")
    until(lambda: kept(own) == ["one", "two"])
    stop()
    written(own.engine, "three")
    running(made(own))
    until(lambda: kept(own) == ["one", "two", "three"])


def test_lines_that_there_is_no_room_for_stay_where_they_are(
    tmp_path: Path, running: Callable[[Collector], Stop]
) -> None:
    own = read(tmp_path, QUEUE_BYTES="10")
    written(own.engine, "one")
    full = made(own)
    stop = running(full)
    time.sleep(0.1)
    stop()
    assert (kept(own), full.lines) == ([], 0)
    own = read(tmp_path)
    running(made(own))
    until(lambda: kept(own) == ["one"])


def test_what_is_read_at_once_is_written_down_in_parts() -> None:
    part = Part("abc", (b"x" * collector.BATCH_BYTES,), Place(1, 1, 1))
    assert [len(batch) for batch in collector.batches(iter([part] * 3))] == [1, 1, 1]
    small = Part("abc", (b"x",), Place(1, 1, 1))
    assert [len(batch) for batch in collector.batches(iter([small] * 3))] == [3]


def test_a_collector_tells_what_it_read_and_what_waits(
    tmp_path: Path, running: Callable[[Collector], Stop]
) -> None:
    own = read(tmp_path)
    collecting = made(own)
    running(collecting)
    with collector.server(own, collecting, port=0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"

        def told(path: str) -> str:
            with urllib.request.urlopen(f"{address}{path}") as answer:  # noqa: S310
                return str(answer.read().decode())

        assert told("/health") == "live\n"
        assert "slipway_collector_lines_total 0\n" in told("/metrics")
        written(own.engine, "one")
        until(lambda: "slipway_collector_lines_total 1\n" in told("/metrics"))
        assert "slipway_collector_waiting_bytes 0\n" not in told("/metrics")
        assert "slipway_collector_missed_total 0\n" in told("/metrics")
        with pytest.raises(urllib.error.HTTPError):
            told("/other")
        server.shutdown()


def test_what_cannot_go_on_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "a b")
    assert __main__.main(["collector"]) == 1
    assert "is no environment's name" in json.loads(capsys.readouterr().out)["reason"]
