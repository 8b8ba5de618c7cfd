"""Retention of an environment is no attack, and an attack is no retention: by what was received."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from slipway_backup.keeper import asking, expiry, judging, rules
from slipway_backup.keeper.judging import Judged
from slipway_backup.keeper.rules import Case, Found, Known, Problem
from slipway_backup.keeper.store import Line, Store
from slipway_backup.points import Point, Stored
from slipway_backup.policy import Keep, Keeping
from slipway_backup.repositories import Repository
from slipway_backup.sources.database import Copy
from slipway_backup.sources.files import Snapshot

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
REPOSITORY = Repository(1, Keep(), "/nowhere")


def sha(text: str) -> str:
    """The name of a content."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Landing:
    """What was received from an environment that takes a full point a day, and what tools say."""

    make: Callable[..., Point]
    versions: dict[str, list[Line]] = field(default_factory=dict)
    points: dict[int, Stored] = field(default_factory=dict)
    copies: dict[int, Copy] = field(default_factory=dict)
    known: dict[int, Known] = field(default_factory=dict)
    day: float = 0
    accepted: datetime = BEGAN

    @property
    def now(self) -> datetime:
        """The receive time of this moment."""
        return BEGAN + timedelta(days=self.day)

    def put(self, path: str, text: str) -> None:
        """Receive a file."""
        self.versions.setdefault(path, []).append(Line(self.now, path, sha(text), len(text)))

    def remove(self, path: str) -> None:
        """See that a file is gone."""
        self.versions[path].append(Line(self.now, path, "", 0))

    def take(self, when: datetime | None = None) -> None:
        """A point of this day arrives, which says a time of its own."""
        number = int(self.day)
        when = when or self.now
        label, segment = f"day-{number}", f"{'0' * 7}1{'0' * 8}{number + 1:08X}"
        self.put(f"{rules.COPIES}{label}/bundle/1", label)
        self.put(f"{rules.COPIES}{label}/backup.manifest", label)
        self.put(f"{rules.ARCHIVE}17-1/{segment[:16]}/{segment}-{'a' * 40}.zst", segment)
        self.put(self.snapshot(number), f"snapshot {number}")
        self.put(f"{rules.COPIES}backup.info", f"{number} copies")
        point = self.make(
            id=f"p{number}",
            time=when.isoformat(),
            database={"labels": {"1": label}, "last_segment": segment},
        )
        snapshot = Snapshot(sha(f"snapshot {number}"), when, ("point",), (), 1, 1, 1)
        self.points[number] = Stored(point, snapshot, REPOSITORY)
        self.copies[number] = Copy(label, "full", "", segment, segment, 0, when, when, 1, 1)
        self.known[number] = Known(
            *(f"p{number}", "", point.time, snapshot.id, label, segment),
            received=self.now,
            at=self.now,
            files=rules.files_of(self.state, [label], segment, segment),
        )

    def days(self, count: int) -> None:
        """So many days with a point each, and everything judged good."""
        for _ in range(count):
            self.day += 1
            self.take()
        self.known = {number: replace(each, at=self.now) for number, each in self.known.items()}

    def forget(self, *numbers: int) -> None:
        """The files' part of points goes."""
        for number in numbers:
            self.remove(self.snapshot(number))
            del self.points[number]

    def expire(self, *numbers: int) -> None:
        """The database's part of points goes."""
        for number in numbers:
            label, copy = f"{rules.COPIES}day-{number}/", self.copies.pop(number)
            for path in [*self.state]:
                if path.startswith(label) or rules.segment(path) == copy.start_segment:
                    self.remove(path)

    @staticmethod
    def snapshot(number: int) -> str:
        """Where a point's snapshot is."""
        return f"{rules.SNAPSHOTS}{sha(f'snapshot {number}')}"

    @property
    def state(self) -> dict[str, Line]:
        """What each path has now."""
        return {path: lines[-1] for path, lines in self.versions.items() if lines[-1].sha256}

    @property
    def found(self) -> Found:
        """What both tools would say."""
        return Found(
            points=tuple(self.points.values()),
            snapshots={each.snapshot.id: each.snapshot.time for each in self.points.values()},
            copies=tuple(self.copies.values()),
            archived=frozenset(filter(None, map(rules.segment, self.state))),
        )

    def problems(self, found: Found | None = None, days: float = 0) -> dict[str, Problem]:
        """What is wrong, by its code, after so many days."""
        found = found or self.found
        known = tuple(self.known.values())
        sums = asking.sums(found, self.state)
        whole = frozenset(each.id for each in known if sums.get(each.id) == each.files)
        told = rules.problems(
            Case(
                *(self.versions, self.state, found, known, whole),
                now=self.now + timedelta(days=days),
                accepted=self.accepted,
                policy=Keeping(),
            )
        )
        return {each.code: each for each in told}


@pytest.fixture
def landing(point: Callable[..., Point]) -> Landing:
    """Twenty days of points, the repository itself from before."""
    made = Landing(point)
    made.put(rules.CONFIG, "config")
    made.put(f"{rules.KEYS}{sha('key')}", "key")
    made.days(20)
    assert made.problems() == {}
    return made


def test_an_environment_removes_its_old_points_without_an_alarm(landing: Landing) -> None:
    landing.forget(*range(1, 13))
    landing.expire(*range(1, 13))
    assert landing.problems() == {}


@pytest.mark.parametrize(
    ("code", "parts"),
    [("forgotten", ("forget",)), ("expired", ("expire",)), ("deleted", ("forget", "expire"))],
)
def test_a_young_point_that_goes_is_an_attack_by_what_went(
    landing: Landing, code: str, parts: tuple[str, ...]
) -> None:
    for part in parts:
        getattr(landing, part)(3, 15)
    assert landing.problems()[code].about == ("p15",)
    # When it is as old as those that retention removes, it would be gone anyway.
    assert code not in landing.problems(days=9)


def test_the_newest_point_is_guarded_however_old_it_is(landing: Landing) -> None:
    landing.forget(20)
    assert landing.problems(days=100)["forgotten"].about == ("p20",)


def test_the_log_after_the_newest_point_is_guarded(landing: Landing) -> None:
    later = f"{rules.ARCHIVE}17-1/{'0' * 16}/{'0' * 7}1{'0' * 8}{40:08X}-{'b' * 40}.zst"
    landing.put(later, "log")
    assert landing.problems() == {}
    landing.remove(later)
    assert landing.problems()["deleted"].about == (rules.segment(later),)


def test_a_second_file_of_the_same_part_of_the_log_spoils_a_point(landing: Landing) -> None:
    path = next(path for path in landing.state if rules.segment(path).endswith(f"{20 + 1:08X}"))
    landing.put(path.replace("a" * 40, "b" * 40), "other")
    assert landing.problems()["spoiled"].about == ("p20",)


def test_files_that_never_change_and_have_changed_are_told(landing: Landing) -> None:
    landing.day += 0.1
    path = f"{rules.COPIES}day-19/bundle/1"
    landing.put(path, "junk")
    landing.put(rules.CONFIG, "another repository")
    told = landing.problems()
    assert set(told["overwritten"].about) == {path, rules.CONFIG}
    assert told["spoiled"].about == ("p19",)
    # Put back as it was, it is good again.
    landing.put(path, "day-19")
    landing.put(rules.CONFIG, "config")
    assert landing.problems() == {}


def test_a_file_of_restics_without_the_content_of_its_name_is_told_and_no_point_is_whole(
    landing: Landing,
) -> None:
    path = f"restic/data/ab/{sha('pack')}"
    landing.put(path, "no pack")
    told = landing.problems()
    assert told["overwritten"].about == (path,)
    assert len(told["spoiled"].about) == 8


def test_what_pgbackrest_writes_again_is_no_attack(landing: Landing) -> None:
    landing.day += 0.1
    landing.put(f"{rules.COPIES}backup.info", "other copies")
    # A copy that was begun, killed and resumed.
    for text in ("half", "whole"):
        landing.put(f"{rules.COPIES}day-21/bundle/1", text)
        landing.put(f"{rules.COPIES}day-21/backup.manifest.copy", text)
    landing.put(f"{rules.COPIES}day-21/backup.manifest", "whole")
    assert landing.problems() == {}
    landing.day += 0.1
    landing.put(f"{rules.COPIES}day-21/bundle/1", "junk")
    assert list(landing.problems()) == ["overwritten"]


def test_another_key_is_told_and_the_points_are_not_said_to_be_lost(landing: Landing) -> None:
    assert list(landing.problems(Found(closed="wrong", key=True))) == ["key"]
    landing.put(f"{rules.KEYS}{sha('other')}", "other")
    assert landing.problems()["key"].about == (sha("other"),)


@pytest.mark.parametrize(("code", "days"), [("backdated", -3), ("future", 1)])
def test_a_point_that_says_another_time_than_it_came_at_is_told_and_not_kept(
    landing: Landing, code: str, days: int, tmp_path: Path
) -> None:
    landing.day += 1
    landing.take(landing.now + timedelta(days=days))
    assert landing.snapshot(21) in landing.problems()[code].about
    store = Store(tmp_path)
    store.versions = landing.versions
    for accepted, plausible in ((BEGAN, False), (landing.now, True)):
        assert plausible is judging._plausible("p21", landing.found, store, accepted, Keeping())


def test_what_was_there_before_somebody_accepted_it_is_not_told(landing: Landing) -> None:
    landing.day += 0.1
    landing.forget(15)
    landing.put(f"{rules.COPIES}day-19/bundle/1", "junk")
    assert set(landing.problems()) == {"forgotten", "overwritten", "spoiled"}
    landing.accepted = landing.now
    for number in {*landing.known} - {15, 19}:
        landing.known[number] = replace(landing.known[number], at=landing.now)
    assert landing.problems() == {}
    landing.day += 0.1
    landing.forget(16)
    assert landing.problems()["forgotten"].about == ("p16",)


def test_a_point_that_stays_in_parts_is_told_after_a_while(landing: Landing) -> None:
    landing.day += 1
    landing.take()
    del landing.known[21], landing.copies[21]
    assert landing.problems() == {}
    assert landing.problems(days=0.1)["unfinished"].about == ("p21",)


def test_snapshots_that_are_no_points_are_told(landing: Landing) -> None:
    found = replace(landing.found, unreadable=("snapshot 12ab: no point",))
    assert list(landing.problems(found)) == ["unreadable"]
    closed = Found(closed="there is no repository of restic's")
    assert {"unreadable", "spoiled"} <= set(landing.problems(closed))


def test_what_goes_is_by_receive_time_and_never_less_than_the_number(landing: Landing) -> None:
    known = tuple(replace(each, at=BEGAN) for each in landing.known.values())
    judged = Judged(at=landing.now, known=known)
    policy = Keeping(days=5, points=3)

    def kept(later: int, judged: Judged = judged) -> list[str]:
        now = landing.now + timedelta(days=later)
        return [each.id for each in expiry.kept(judged, now, policy)]

    assert kept(0) == [f"p{number}" for number in range(15, 21)]
    # A clock that was set forward, or an environment that takes no points any more.
    assert kept(4000) == ["p18", "p19", "p20"]
    # One that is still in the landing folder would be received again.
    there = (replace(known[0], at=landing.now), *known[1:])
    assert kept(4000, replace(judged, known=there)) == ["p1", "p18", "p19", "p20"]


def test_what_a_kept_point_rests_on_stays_and_the_rest_goes(
    landing: Landing, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    text = {"a": b"of an old point", "b": b"of a kept one", "c": b"of now", "d": b"of neither"}
    names = {each: store.put(BytesIO(text[each]), len(text[each]), 0) for each in text}

    def line(day: int, path: str, content: str) -> Line:
        return Line(BEGAN + timedelta(days=day), path, names.get(content, ""), 1)

    store.append(line(1, "x", "a"), line(2, "x", "b"), line(3, "y", "d"), line(4, "y", ""))
    store.append(line(5, "x", "c"))
    point = replace(landing.known[2], received=BEGAN, at=BEGAN + timedelta(days=2))
    judged = Judged(at=BEGAN + timedelta(days=5), known=(point,))
    now = BEGAN + timedelta(days=30)
    attacked = replace(judged, problems=(Problem("deleted", "", ""),))
    assert expiry.expire(store, attacked, now, Keeping()) == (attacked, 0)
    assert all(map(store.has, names.values()))
    assert expiry.expire(store, judged, now, Keeping())[1] == len(text["a"] + text["d"])
    assert {each for each in text if store.has(names[each])} == {"b", "c"}


def test_a_judgement_is_read_as_it_was_written(landing: Landing, tmp_path: Path) -> None:
    judged = Judged(
        at=landing.now,
        accepted=BEGAN,
        known=tuple(landing.known.values()),
        problems=(Problem("key", "said", "next", ("a", "b")),),
        waiting=True,
    )
    judging.keep(tmp_path / judging.FILE, judged)
    assert judging.load(tmp_path / judging.FILE) == judged
    assert judging.load(tmp_path / "none") == Judged()
    # More of the log is good for the points that were whole, and for no other.
    gone = replace(landing.known[3], at=BEGAN)
    later = judging.go_on(
        replace(judged, known=(gone, landing.known[4])), landing.now + timedelta(1)
    )
    assert [each.at for each in later.known] == [BEGAN, later.at]
