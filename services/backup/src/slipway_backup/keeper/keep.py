"""The keeper at work: it looks, receives, judges, tells and removes, again and again."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from slipway_backup import answering, errors, lock, logs
from slipway_backup.errors import OTHERS, BackupError, Refused
from slipway_backup.keeper import expiry, judging, rules, telling
from slipway_backup.keeper import store as storing
from slipway_backup.keeper.clock import Clock
from slipway_backup.keeper.pulling import Pulled, Puller
from slipway_backup.keeper.rules import Problem
from slipway_backup.keeper.store import Store
from slipway_backup.settings import Settings

LOCK = "keeper.lock"
READING = "reading.lock"
#: What somebody has looked at: the receive time of the judgement that they saw.
ACCEPTED = "accepted"
TOLD = "told.json"
#: What moves for so long is judged as it is: whoever attacks may go on moving things.
RESTLESS_SECONDS = 600
#: What is wrong, or not whole yet, is judged again after so long although nothing came.
AGAIN_SECONDS = 900
#: Removing looks at every content, so it is done once in a while.
EXPIRE_SECONDS = 3600


class Keeper:
    """One look after another. What it knows is on its disk after each."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.policy = settings.keeper_policy
        self.store = Store(settings.keeper_directory)
        self.store.show()
        self.before = self.store.last
        self.clock = clock or Clock(self.before)
        self.began = self.clock.now()
        self.set_back = bool(self.before and datetime.now(self.before.tzinfo) < self.before)
        self.judged = judging.load(self._path(judging.FILE))
        reserve = int(storing.size(self.store.root) * self.policy.reserve_percent / 100)
        self.reserve = reserve
        self.puller = Puller(settings.landing_directory, self.store, self.clock, reserve)
        self.problems: tuple[Problem, ...] = self.judged.problems
        self.looked: datetime | None = None
        self.untold = 0
        # What came before a stop is judged after it.
        self._unjudged = True
        self._moving_since: datetime | None = None
        self._expired: datetime | None = None

    def look(self) -> None:
        """Look once at the landing folder, and do all that follows. Raises BackupError, OSError."""
        if not self.settings.landing_directory.is_dir():
            raise Refused(
                f"{self.settings.landing_directory} is no folder", "mount the landing folder there"
            )
        pulled = self.puller.pull()
        now = self.clock.now()
        self._judge(pulled, now)
        self.problems = (*self.judged.problems, *self._standing(pulled, now))
        self._tell(now)
        self._expire(now)
        self.looked = now

    def _judge(self, pulled: Pulled, now: datetime) -> None:
        accepted = self._accepted()
        only_log = not pulled.gone and all(rules.segment(path) for path in pulled.changed)
        self._unjudged |= not only_log or accepted != self.judged.accepted
        if not pulled.whole and not pulled.full:
            self._moving_since = self._moving_since or now
            if now < self._moving_since + timedelta(seconds=RESTLESS_SECONDS):
                return
        self._moving_since = None
        # Some of it is a matter of time.
        open_ = self.judged.problems or self.judged.waiting
        late = self.judged.at and now > self.judged.at + timedelta(seconds=AGAIN_SECONDS)
        if self._unjudged or (open_ and late):
            self.judged = judging.judge(self.settings, self.store, self.judged, accepted, now)
        elif pulled.changed and not self.judged.problems:
            self.judged = judging.go_on(self.judged, now)
        else:
            return
        if pulled.whole and self.judged.known and not self.judged.problems:
            self.store.note_good(now)
        judging.keep(self._path(judging.FILE), self.judged)
        self._unjudged = False

    def _standing(self, pulled: Pulled, now: datetime) -> list[Problem]:
        """What is wrong apart from the state: disks, the clock, and that nothing comes."""
        found = []
        landing, own = self.settings.landing_directory, self.store.root
        free = storing.room(landing)
        if free < storing.size(landing) * self.policy.reserve_percent / 100:
            found.append(
                Problem(
                    "landing_filling",
                    f"the disk of the landing folder has {free >> 20} MB left",
                    "look at what was written there lately; what is kept here is not touched",
                )
            )
        free = storing.room(own)
        if pulled.full:
            found.append(
                Problem(
                    "keeper_full",
                    f"the keeper takes nothing more: {free >> 20} MB are left, and"
                    f" {self.reserve >> 20} MB are its reserve. What it has stays",
                    "look at what was written lately to the landing folder, or give it more room",
                )
            )
        elif free < 2 * self.reserve:
            found.append(
                Problem(
                    "keeper_filling",
                    f"the keeper's disk has {free >> 20} MB left, and takes nothing more at"
                    f" {self.reserve >> 20} MB",
                    "give it more room, or keep fewer days",
                )
            )
        step = self.clock.step()
        if step or self.set_back:
            found.append(
                Problem(
                    "clock",
                    (
                        f"the clock of the keeper's machine was set {step}"
                        if step
                        else "the clock of the keeper's machine is behind what was received last"
                    ),
                    "look at who sets it; receive times go on by themselves. Right again: restart",
                )
            )
        known = self.judged.known
        newest = known[-1].received if known else self.began
        if now > newest + timedelta(hours=self.policy.silent_hours):
            found.append(
                Problem(
                    "silent",
                    f"no point came since {newest.isoformat(timespec='minutes')}",
                    "invoke backup.list --env E tells what the environment thinks",
                )
            )
        return found

    def fail(self, error: BackupError) -> None:
        """Have it told that a look failed; the next one may go well. Raises OSError."""
        problem = Problem("failing", f"the keeper cannot look: {error}", error.next)
        self.problems = (*self.judged.problems, problem)
        self._tell(self.clock.now())

    def _tell(self, now: datetime) -> None:
        path = self._path(TOLD)
        told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        repeat = timedelta(hours=self.policy.repeat_hours)
        texts, after = telling.due(self.problems, told, now, repeat)
        self.untold = len(texts)
        if not texts:
            return
        for text in texts:
            logs.log("warning", "problem", text=text)
        try:
            if self.settings.keeper_webhook_url:
                telling.send(self.settings.keeper_webhook_url, self.settings.environment, texts)
        except BackupError as error:
            # Told by the next look.
            logs.log("error", "an alert was not sent", reason=str(error))
            return
        storing.replace(path, json.dumps(after))
        self.untold = 0

    def _expire(self, now: datetime) -> None:
        if self._expired and now < self._expired + timedelta(seconds=EXPIRE_SECONDS):
            return
        with lock.alone(self._path(READING)) as unread:
            if unread:
                before = self.judged
                self.judged, freed = expiry.expire(self.store, before, now, self.policy)
                judging.keep(self._path(judging.FILE), self.judged)
                self._expired = now
                if freed:
                    logs.log("info", "expired", bytes=freed, points=len(self.judged.known))

    def _accepted(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self._path(ACCEPTED).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return self.judged.accepted

    def _path(self, name: str) -> Path:
        return self.store.root / name


def keep(settings: Settings) -> None:
    """Keep until told to stop. Raises Refused where another one keeps here."""
    from slipway_backup.keeper.api import make_app  # noqa: PLC0415

    logs.configure(settings.log_level)
    settings.require_key()
    settings.keeper_directory.mkdir(parents=True, exist_ok=True)
    with lock.held(settings.keeper_directory / LOCK, "keeps"):
        keeper = Keeper(settings)
        stopping = threading.Event()
        work = threading.Thread(target=_go_on, args=(keeper, stopping))
        work.start()
        logs.log("info", "keeping", port=settings.port, environment=settings.environment)
        try:
            answering.answer(make_app(keeper), settings)
        finally:
            stopping.set()
            logs.log("info", "stopped")
    # A look that is under way ends with this process; the next one receives what it has not.
    os._exit(0)


def _go_on(keeper: Keeper, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            keeper.look()
        except (BackupError, *OTHERS) as error:
            logs.log("error", "a look failed", reason=str(error))
            with contextlib.suppress(OSError):
                keeper.fail(errors.own(error))
        stopping.wait(keeper.policy.look_seconds)


def told(keeper: Keeper) -> dict[str, Any]:
    """Whether it looks, and what is wrong."""
    most = timedelta(seconds=max(600.0, 10 * keeper.policy.look_seconds))
    looked = keeper.looked
    return {
        "looking": looked is not None and keeper.clock.now() - looked < most,
        "looked": looked,
        "problems": [f"{each.code}: {each.sentence}" for each in keeper.problems],
    }
