"""How the backups are: what readiness, metrics and the console are told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway_backup import history, lock, points, repositories, wal
from slipway_backup.errors import BackupError
from slipway_backup.points import Listed, Stored
from slipway_backup.settings import Settings
from slipway_backup.sources import database

#: What is not of the repository itself: the spool, the scratch, and what is told here.
BESIDE = "work"


def points_of(settings: Settings) -> dict[str, Any]:
    """Every point with what is known of it, the oldest first, and how the archive is."""
    places = repositories.all_of(settings)
    return described(settings, [(each, *_listed(settings, each)) for each in places])


def described(
    settings: Settings, found: Iterable[tuple[repositories.Repository, Listed, Iterable[str]]]
) -> dict[str, Any]:
    """What `points_of` tells, of what was found in repositories and what cannot be read there."""
    by_id: dict[str, dict[str, Any]] = {}
    damaged: list[str] = []
    for repository, listed, said in found:
        damaged += said
        # One that is away would be waited for again.
        labels = _labels(settings, repository) if listed.points else set()
        for stored in listed.points:
            entry = by_id.setdefault(stored.point.id, _told(settings, stored))
            if stored.point.named(repository) in labels:
                entry["repositories"].append(repository.number)
    told = wal.state(settings)
    return {
        "points": sorted(by_id.values(), key=lambda each: str(each["time"])),
        "damaged": damaged,
        "archive": {
            "newest": told.get("archived_at"),
            "segment": told.get("segment", ""),
            "behind_seconds": told.get("behind_seconds"),
            "receiving": told["receiving"],
            "error": told.get("error", ""),
        },
        "repository": room(settings),
    }


def _listed(settings: Settings, repository: repositories.Repository) -> tuple[Listed, list[str]]:
    """What is in a repository; one that is away hides nothing of the first."""
    try:
        listed = points.read(settings, repository)
    except BackupError as error:
        if repository.number == repositories.FIRST:
            raise
        return Listed(()), [f"{repository.name}: {error}"]
    return listed, list(listed.damaged)


def _labels(settings: Settings, repository: repositories.Repository) -> set[str]:
    try:
        return {copy.label for copy in database.copies(settings, repository)}
    except BackupError:
        return set()


def _told(settings: Settings, stored: Stored) -> dict[str, Any]:
    point = stored.point
    return {
        "id": point.id,
        "name": point.name,
        "time": point.time,
        "kind": point.kind,
        "size_bytes": stored.snapshot.added_bytes + point.database["added_bytes"],
        "database_bytes": point.database["bytes"],
        "files": point.files["count"],
        "repositories": [],
        "verified": verified(settings, point.id),
        "lsn": point.database["lsn"],
        "release": point.release,
    }


def verified(settings: Settings, point: str) -> dict[str, Any] | None:
    """The newest proof of a point: by a drill, or by reading it."""
    lines = [each for each in history.read(settings, "drill", "verify") if _of(each, point)]
    if not lines:
        return None
    line = lines[-1]
    what = f"drill with the key's {'escrowed copy' if line.get('key') == 'escrow' else 'live copy'}"
    if line.get("repository", repositories.FIRST) != repositories.FIRST:
        what += f", out of repository {line['repository']}"
    return {
        "at": line["at"],
        "ok": line["ok"],
        "what": what if line["kind"] == "drill" else "every file was read",
        "key": line.get("key"),
    }


def _of(line: dict[str, Any], point: str) -> bool:
    return bool(point) and line.get("point") == point


def room(settings: Settings) -> dict[str, int]:
    """How large the repository on this machine is, and how much room there is."""
    folder = settings.repository_directory
    usage = shutil.disk_usage(folder) if folder.is_dir() else None
    size = sum(_size(folder / name) for name in ("pgbackrest", "restic"))
    return {
        "bytes": size,
        "free_bytes": usage.free if usage else 0,
        "total_bytes": usage.total if usage else 0,
    }


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def summary(settings: Settings) -> dict[str, Any]:
    """The state in few words, from what was written down: no repository is asked."""
    run = history.last(settings, "run")
    good = history.last(settings, "run", ok=True)
    drills = _drills(settings)
    clean = history.last(settings, "drill", ok=True)
    told = wal.state(settings)
    return {
        "point": good.get("point") if good else None,
        "point_age_seconds": age(history.time(good)),
        "last_run": run,
        "last_drill": history.last(settings, "drill"),
        "drills_ok": all(each["ok"] for each in drills.values()),
        "drill_age_seconds": age(history.time(clean)),
        "key": clean.get("key") if clean else "unverified",
        "archive": told,
        "running": None if _free(settings, "run") else _holder(settings, "run"),
        "drilling": None if _free(settings, "drill") else _holder(settings, "drill"),
        "repository": room(settings),
        "problems": problems(settings, run, drills, told),
    }


def _drills(settings: Settings) -> dict[str, dict[str, Any]]:
    """The last drill of each repository that one was held of, by how it is told from the others."""
    places = repositories.all_of(settings)
    lines = history.read(settings, "drill")
    found: dict[str, dict[str, Any]] = {}
    for place in places:
        name = f" of {place.name}" if len(places) > 1 else ""
        own = [each for each in lines if each.get("repository", repositories.FIRST) == place.number]
        found |= {name: own[-1]} if own else {}
    return found


def problems(
    settings: Settings,
    run: dict[str, Any] | None,
    drills: Mapping[str, dict[str, Any]],
    told: dict[str, Any],
) -> list[str]:
    """One sentence for each thing that somebody has to look at."""
    found = _of_run(run)
    room_made = history.last(settings, "retention")
    if room_made is not None and not room_made["ok"]:
        found.append(f"what is over the number that is kept is still there: {room_made['reason']}")
    for name, drill in drills.items():
        if not drill["ok"]:
            wrong = [each["name"] for each in drill["proofs"] if not each["ok"]]
            found.append(f"the last drill{name} failed: {', '.join(wrong)}")
    if not told["receiving"]:
        found.append(f"the log is not received: {told.get('error') or 'no receiver runs'}")
    elif told.get("error"):
        found.append(f"the log is not archived: {told['error']}")
    lost = history.gap(history.read(settings, "run", "gap"))
    if lost is not None:
        found.append(
            f"a part of the log was lost at {lost['at']}: no later time can be restored until a"
            " point is taken: slipway-backup run"
        )
    if told.get("elsewhere"):
        found.append(f"the log is archived on this machine alone: {told['elsewhere']}")
    space = room(settings)
    if space["total_bytes"] and space["free_bytes"] < space["total_bytes"] * 0.1:
        found.append(f"the repository's disk has {space['free_bytes'] >> 20} MB left")
    return found


def _of_run(run: dict[str, Any] | None) -> list[str]:
    if run is None:
        return ["no point was taken yet"]
    if not run["ok"]:
        return [f"the last point failed: {run.get('reason')}"]
    found = [
        f"the last point is not in repository {number}: {reason}"
        for number, reason in run.get("missed", {}).items()
    ]
    if run.get("damaged"):
        found.append(
            "pages of the database had a wrong checksum when they were copied: hold a drill, and"
            " look at the server's disk"
        )
    return found


def age(when: datetime | None) -> float | None:
    """Seconds since then."""
    return None if when is None else round((history.now() - when).total_seconds(), 1)


def _free(settings: Settings, name: str) -> bool:
    return lock.is_free(settings.work_directory / f"{name}.lock")


def _holder(settings: Settings, name: str) -> str:
    return lock.taken(settings.work_directory / f"{name}.lock")
