"""The drill: a point is restored where nobody is disturbed, and everything about it is proved."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway_backup import history, keys, points, proofs, repositories, restoring, scratch, wal
from slipway_backup.errors import OTHERS, BackupError, Refused, WrongKey
from slipway_backup.points import Listed, Stored
from slipway_backup.progress import Progress, part, silent
from slipway_backup.recovery import Server
from slipway_backup.repositories import Repository
from slipway_backup.restoring import Restored
from slipway_backup.settings import Settings


@dataclass
class Drill:
    """What a drill found: each proof by name, and how long a real restore would have taken."""

    key: str
    repository: int
    point: str = ""
    proofs: list[dict[str, Any]] = field(default_factory=list)
    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """The proofs that failed, with what they found."""
        return [f"{each['name']}: {each['found']}" for each in self.proofs if not each["ok"]]

    def told(self) -> dict[str, Any]:
        """For the answer and the history."""
        return {
            "point": self.point,
            "ok": not self.failures,
            "key": self.key,
            "repository": self.repository,
            "proofs": self.proofs,
            "rto_seconds": self.rto_seconds,
            "rpo_seconds": self.rpo_seconds,
            "seconds": self.seconds,
        }


def run(
    settings: Settings,
    wanted: str = points.LATEST,
    progress: Progress = silent,
    *,
    repository: int | None = None,
) -> Drill:
    """Restore a point into the scratch folder and prove it; the scratch is gone afterwards.

    It comes from the repository of this number; else the newest point from that whose turn it is,
    and a named one from the first. Nothing is raised for a proof that fails: the drill tells all.
    """
    began = time.monotonic()
    if repository is None:
        repository = turn(settings).number if wanted == points.LATEST else repositories.FIRST
    place = _numbered(settings, repository)
    escrowed = bool(settings.backup_key_escrow)
    drill = Drill("escrow" if escrowed else "live", place.number)
    with scratch.folder(settings, "holds a drill") as folder:
        own = settings.with_key(settings.backup_key_escrow) if escrowed else settings
        _hold(drill, own, place, wanted, folder, progress)
    drill.seconds = round(time.monotonic() - began, 1)
    history.append(settings, "drill", **drill.told())
    progress(1.0, "done")
    return drill


def turn(settings: Settings) -> Repository:
    """The repository whose last drill is the longest ago; the first one where none was held."""
    held = [each.get("repository", repositories.FIRST) for each in history.read(settings, "drill")]
    latest = {number: place for place, number in enumerate(held)}
    return min(repositories.all_of(settings), key=lambda each: latest.get(each.number, -1))


def _numbered(settings: Settings, number: int) -> Repository:
    every = {each.number: each for each in repositories.all_of(settings)}
    if number not in every:
        there = ", ".join(map(str, every))
        raise Refused(f"there is no repository {number} (there are: {there})", "say one of them")
    return every[number]


def _hold(
    drill: Drill,
    settings: Settings,
    place: Repository,
    wanted: str,
    folder: Path,
    progress: Progress,
) -> None:
    listed = _opened(drill, settings, place)
    if listed is None:
        return
    stored = points.choose(listed.points, wanted)
    _prove(drill, "readable", lambda: proofs.readable(listed.damaged))
    # Another one keeps as many as its own policy says, and lacks what was taken while it was away.
    if place.number == repositories.FIRST:
        _prove(drill, "complete", lambda: proofs.complete(points.lost(settings, listed.points)))
    if stored is None:
        what = "there is no point" if wanted == points.LATEST else f"there is no point {wanted!r}"
        _note(drill, "point", ok=False, found=what, seconds=0)
        return
    drill.point = stored.point.id
    if wanted == points.LATEST:
        policy = settings.backup_policy
        _prove(drill, "fresh", lambda: proofs.fresh(stored.point, policy, history.now()))
    earlier = listed.points[: listed.points.index(stored)]
    _prove(drill, "tables", lambda: proofs.tables(stored.point, earlier))
    drill.rpo_seconds = wal.state(settings).get("behind_seconds")
    _restored(drill, settings, stored, folder, progress)


def _opened(drill: Drill, settings: Settings, place: Repository) -> Listed | None:
    """The points, when the key opens the repository."""
    try:
        listed = points.read(settings, place)
    except BackupError as error:
        name = "key" if isinstance(error, WrongKey) else "repository"
        _note(drill, name, ok=False, found=str(error), seconds=0)
        return None
    found = f"the {'escrowed' if drill.key == 'escrow' else 'live'} key opens it"
    key = keys.fingerprint(settings.require_key())
    _note(drill, "key", ok=True, found=f"{found} ({key})", seconds=0)
    return listed


def _restored(
    drill: Drill, settings: Settings, stored: Stored, folder: Path, progress: Progress
) -> None:
    """Restore and recover, then hold every proof that needs the database."""
    began = time.monotonic()
    data = folder / "17"
    try:
        scratch.require_room(settings, stored, "a drill")
        choice = restoring.of_point(stored)
        done = Restored(choice)
        restoring.fetch(settings, choice, data, None, done, part(progress, 0.0, 0.5))
        with restoring.recovered(
            settings, choice, data, lasting=False, progress=part(progress, 0.5, 0.6)
        ) as (server, _):
            drill.rto_seconds = round(time.monotonic() - began, 1)
            found = f"copied in {done.seconds['copy']} s, recovered in {server.seconds:.1f} s"
            _note(drill, "restore", ok=True, found=found, seconds=drill.rto_seconds)
            _prove_all(drill, settings, stored, server, folder, progress)
    except (BackupError, *OTHERS) as error:
        seconds = round(time.monotonic() - began, 1)
        _note(drill, "restore", ok=False, found=str(error), seconds=seconds)


def _prove_all(
    drill: Drill,
    settings: Settings,
    stored: Stored,
    server: Server,
    folder: Path,
    progress: Progress,
) -> None:
    every: tuple[tuple[str, Callable[[], str]], ...] = (
        ("extensions", lambda: proofs.extensions(server, stored.point)),
        ("content", lambda: proofs.content(server, stored.point)),
        ("structure", lambda: proofs.structure(server)),
        ("vectors", lambda: proofs.vectors(server, stored.point)),
        ("question", lambda: proofs.question(server, stored.point.passage)),
        ("files", lambda: proofs.uploads(settings, server, stored, folder / "files")),
    )
    for index, (name, proof) in enumerate(every):
        progress(0.6 + 0.4 * index / len(every), f"proving: {name}")
        _prove(drill, name, proof)


def _prove(drill: Drill, name: str, proof: Callable[[], str]) -> None:
    began = time.monotonic()
    try:
        found, ok = proof(), True
    except (BackupError, *OTHERS) as error:
        found, ok = str(error).strip(), False
    _note(drill, name, ok=ok, found=found, seconds=round(time.monotonic() - began, 2))


def _note(drill: Drill, name: str, *, ok: bool, found: str, seconds: float) -> None:
    drill.proofs.append({"name": name, "ok": ok, "found": found, "seconds": seconds})
