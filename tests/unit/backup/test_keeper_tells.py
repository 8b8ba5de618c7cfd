"""A keeper tells people what is wrong once, and whoever asks it; and gives back what it has."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from slipway_backup import cli, lock
from slipway_backup.errors import Failed, Refused
from slipway_backup.keeper import asking, judging, keep, kept, telling
from slipway_backup.keeper.api import CODES, make_app
from slipway_backup.keeper.clock import Clock
from slipway_backup.keeper.keep import Keeper
from slipway_backup.keeper.landing import Seen
from slipway_backup.keeper.rules import Found, Known, Problem
from slipway_backup.policy import Keeping
from slipway_backup.settings import Settings

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FILE = "restic/config"


class Receiver:
    """A webhook that takes alerts, while it is told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if receiver.status == 200:
                    receiver.texts += told["text"].splitlines()
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook of this test."""
    made = Receiver()
    work = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    work.start()
    yield made
    made.server.shutdown()
    work.join()
    made.server.server_close()


@pytest.fixture
def keeper(
    make: Callable[..., Settings],
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], Keeper]:
    """Starts a keeper over a landing folder with one file; both tools find nothing in it."""
    (tmp_path / "landing/restic").mkdir(parents=True)
    (tmp_path / "landing" / FILE).write_text("config")
    # Both tools are in the image alone: tests/e2e/backup/test_keeper.py has them.
    monkeypatch.setattr(asking, "ask", lambda *_: Found())

    def start(**policy: float) -> Keeper:
        own = make(
            keeper_directory=tmp_path / "keeper",
            landing_directory=tmp_path / "landing",
            keeper_policy=Keeping(reserve_percent=1, **policy),
            keeper_webhook_url=receiver.url,
        )
        return Keeper(own)

    return start


def known(at: datetime) -> Known:
    """A point that was whole then."""
    return Known("p1", "", NOW.isoformat(), "ab", "label", "0" * 24, NOW, at, "sum")


def test_a_problem_is_told_once_and_again_when_more_comes_and_when_it_lasts_and_ends() -> None:
    one, two = Problem("deleted", "one", "next", ("a",)), Problem("deleted", "two", "", ("a", "b"))
    texts, told = telling.due([one], {}, NOW, DAY)
    assert texts == ["deleted: one. Next: next"]
    assert telling.due([one], told, NOW, DAY)[0] == []
    assert len(telling.due([two], told, NOW, DAY)[0]) == 1
    assert len(telling.due([one], told, NOW + DAY, DAY)[0]) == 1
    assert telling.due([], told, NOW, DAY) == (["deleted: over"], {})


def test_an_alert_that_the_webhook_did_not_take_is_sent_by_a_later_look(
    keeper: Callable[..., Keeper], receiver: Receiver, tmp_path: Path
) -> None:
    made = keeper()
    made.look()
    assert receiver.texts == []
    (tmp_path / "landing" / FILE).write_text("of somebody else")
    receiver.status = 500
    made.look()
    assert (receiver.texts, made.untold) == ([], 1)
    receiver.status = 200
    made.look()
    (text,) = receiver.texts
    assert text.startswith("[keeper of dev] overwritten: 1 files are not what they were")
    # Once, also after a start.
    made.look()
    keeper().look()
    assert len(receiver.texts) == 1
    (tmp_path / "landing" / FILE).write_text("config")
    keeper().look()
    assert receiver.texts[1:] == ["[keeper of dev] overwritten: over"]


def test_what_cannot_be_sent_is_said_in_one_sentence(receiver: Receiver) -> None:
    with pytest.raises(Refused, match="no URL"):
        telling.send("file:///etc/passwd", "dev", ["text"])
    receiver.status = 302
    with pytest.raises(Failed, match="does not take alerts"):
        telling.send(receiver.url, "dev", ["text"])


def test_a_landing_folder_that_is_not_there_is_told(
    keeper: Callable[..., Keeper], receiver: Receiver, tmp_path: Path
) -> None:
    made = keeper()
    (tmp_path / "landing").rename(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="is no folder") as raised:
        made.look()
    made.fail(raised.value)
    assert receiver.texts[0].startswith("[keeper of dev] failing: the keeper cannot look:")
    assert not keep.told(made)["looking"]


def test_nothing_new_a_full_disk_and_a_clock_that_was_set_are_told(
    keeper: Callable[..., Keeper], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keeper(silent_hours=1e-9)
    said = [NOW]
    made.clock = made.puller._clock = Clock(None, lambda: said[0], lambda: 0)
    made.began = NOW - DAY
    said[0] += DAY
    monkeypatch.setattr("slipway_backup.keeper.store.room", lambda _: 0)
    made.look()
    codes = {text.split("] ")[1].split(":")[0] for text in receiver.texts}
    assert codes == {"silent", "landing_filling", "keeper_full", "clock"}


def test_what_moves_all_the_time_is_judged_after_a_while(
    keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keeper()
    ran = [0.0]
    made.clock = made.puller._clock = Clock(None, lambda: NOW, lambda: ran[0])
    numbers = itertools.count()
    another = lambda found: Seen(found.st_size, 0, 0, next(numbers))  # noqa: E731
    monkeypatch.setattr(Seen, "of", another)
    for ran[0], judged in ((1.0, False), (2.0, False), (keep.RESTLESS_SECONDS + 2.0, True)):
        made.look()
        assert (made.judged.at is not None) is judged
    assert made.store.good == []


def test_its_figures_have_every_code_that_it_tells(
    keeper: Callable[..., Keeper], tmp_path: Path
) -> None:
    made = keeper()
    made.judged = judging.Judged(known=(known(NOW),))
    made.problems = (Problem("key", "", ""),)
    (metrics,) = [
        route for route in make_app(made).routes if getattr(route, "path", "") == "/metrics"
    ]
    text = metrics.endpoint().body.decode()  # type: ignore[attr-defined]
    families = {each.name: each.samples for each in text_string_to_metric_families(text)}
    told = {each.labels["code"]: each.value for each in families["slipway_keeper_problem"]}
    assert told == {code: float(code == "key") for code in CODES}
    assert families["slipway_keeper_received_timestamp_seconds"][0].value == NOW.timestamp()
    source = Path(keep.__file__).parent
    written = "".join(path.read_text() for path in source.glob("*.py") if path.name != "api.py")
    assert [code for code in CODES if f'"{code}"' not in written] == []


def test_a_repository_is_given_back_as_it_was_at_a_good_time(
    keeper: Callable[..., Keeper], tmp_path: Path
) -> None:
    made = keeper()
    made.look()
    for text, at in (("config", NOW), ("later", NOW + 2 * DAY)):
        (tmp_path / "landing" / FILE).write_text(text)
        made.puller.pull()
        made.store.note_good(at)
    own = made.settings
    judging.keep(tmp_path / "keeper" / judging.FILE, judging.Judged(NOW, NOW, (known(NOW),)))
    target = tmp_path / "out"
    target.mkdir()
    done = kept.lay_out(own, target, "")
    assert (done["at"], done["files"]) == ((NOW + 2 * DAY).isoformat(), 1)
    assert (target / FILE).read_text() == "later"
    # What looks into a repository finds these there.
    assert (target / "restic/locks").is_dir()
    with pytest.raises(Refused, match="no empty folder"):
        kept.lay_out(own, target, "")
    store = made.store
    assert kept.chosen(store, judging.Judged(), "2026-12-02T12:00:00Z") == NOW
    for wrong in ("2026-12-02T12:00:00", "yesterday"):
        with pytest.raises(Refused, match="no time with its zone"):
            kept.chosen(store, judging.Judged(), wrong)
    with pytest.raises(Refused, match="no such state"):
        kept.chosen(store, judging.Judged(), "2020-01-01T00:00:00Z")


def test_the_exit_code_says_whether_something_is_wrong(
    keeper: Callable[..., Keeper],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("slipway_backup.privileges.settle", lambda *_: None)
    monkeypatch.setenv("KEEPER_DIRECTORY", str(tmp_path / "keeper"))
    assert cli.main(["kept"]) == 2
    assert "no keeper's place" in capsys.readouterr().out
    made = keeper()
    made.look()
    assert cli.main(["kept"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0]["code"] == "idle"
    with lock.held(tmp_path / "keeper" / keep.LOCK, "keeps"):
        assert cli.main(["kept"]) == 0
        (tmp_path / "landing" / FILE).write_text("of somebody else")
        made.look()
        capsys.readouterr()
        assert cli.main(["kept"]) == 1
        assert json.loads(capsys.readouterr().out)["problems"][0]["about"] == [FILE]
        # Somebody has looked at it, and says so.
        assert cli.main(["kept", "--accept"]) == 0
        made.look()
        assert cli.main(["kept"]) == 0
    assert cli.main(["kept", "--at", "2026-12-01T00:00:00Z"]) == 2
