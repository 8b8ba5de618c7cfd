"""What a keeper gives back: which points it has, and a repository as it was at a receive time."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway_backup import lock
from slipway_backup.errors import Refused
from slipway_backup.keeper import judging, keep
from slipway_backup.keeper import store as storing
from slipway_backup.keeper.judging import Judged
from slipway_backup.keeper.store import Store
from slipway_backup.settings import Settings

#: What restic and the service look into, also where nothing is in it.
FOLDERS = ("restic/data", "restic/index", "restic/keys", "restic/locks", "restic/snapshots")


def listed(settings: Settings) -> dict[str, Any]:
    """The points that can be given back, the oldest first, and what is wrong."""
    root = _root(settings)
    judged = judging.load(root / judging.FILE)
    problems = [asdict(each) for each in judged.problems]
    if lock.is_free(root / keep.LOCK):
        words = {"code": "idle", "sentence": "no keeper is at work here", "about": []}
        problems.append({**words, "next": "start it: docs/how-to/keep-backups-from-root.md"})
    good = Store(root).good
    return {
        "points": [
            {
                "id": each.id,
                "name": each.name,
                "time": each.time,
                "received": each.received.isoformat(),
                "at": each.at.isoformat(),
                "in_landing": each.at == judged.at,
            }
            for each in judged.known
        ],
        "good": good[-1].isoformat() if good else None,
        "problems": problems,
    }


def lay_out(settings: Settings, target: Path, at: str) -> dict[str, Any]:
    """Lay out the repository as it was at the newest good receive time, or the newest until `at`.

    Raises Refused where the folder is not empty or there is no such time, Failed where the keeper's
    disk does not have what was received.
    """
    root = _root(settings)
    with lock.shared(root / keep.READING):
        store = Store(root)
        when = chosen(store, judging.load(root / judging.FILE), at)
        if not target.is_dir() or any(target.iterdir()):
            raise Refused(f"{target} is no empty folder", "make one, or empty it")
        state = store.state(when)
        for each in FOLDERS:
            (target / each).mkdir(parents=True)
        size = store.lay_out(state, target)
    return {"at": when.isoformat(), "files": len(state), "bytes": size, "to": str(target)}


def chosen(store: Store, judged: Judged, at: str) -> datetime:
    """The receive time that is meant. Raises Refused where there is none."""
    times = sorted({*store.good, *(each.at for each in judged.known)})
    if at:
        until = _time(at)
        times = [each for each in times if each <= until]
    else:
        times = store.good
    if not times:
        raise Refused("there is no such state that was good", "slipway-backup kept")
    return times[-1]


def accept(settings: Settings) -> dict[str, Any]:
    """Have all that was judged until now be accepted: its problems are not told again."""
    root = _root(settings)
    judged = judging.load(root / judging.FILE)
    if judged.at is None:
        raise Refused("nothing was judged yet", "wait for the first look of the keeper")
    storing.replace(root / keep.ACCEPTED, judged.at.isoformat())
    return {"accepted": judged.at.isoformat()}


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Refused(f"{text!r} is no time with its zone", "for example 2026-11-29T14:30:00Z")
    return found


def _root(settings: Settings) -> Path:
    if not settings.keeper_directory.is_dir():
        raise Refused(f"{settings.keeper_directory} is no keeper's place", "mount its volume there")
    return settings.keeper_directory
