"""What a drill looks at on a restored database and its files. Each proof says what it found."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import psycopg

from slipway_backup import fingerprints, frozen, passage, process, recall
from slipway_backup.errors import Failed
from slipway_backup.points import Point, Stored
from slipway_backup.policy import Policy
from slipway_backup.recovery import Server
from slipway_backup.settings import BINARIES, Settings
from slipway_backup.sources import files

#: Without these there is no product, whatever a point says of itself.
REQUIRED_EXTENSIONS = ("vector",)
SAMPLED_FILES = 20
#: Half a gap late is late; on top, what a point itself takes.
LATE = 1.5
GRACE_SECONDS = 600


def readable(damaged: Sequence[str]) -> str:
    """Every point in the repository can be read."""
    if damaged:
        raise Failed(f"{len(damaged)} points cannot be read: {damaged[0]}")
    return "every point can be read"


def complete(lost: Sequence[str]) -> str:
    """Every point that was taken and not removed by retention is there."""
    if lost:
        raise Failed(f"{len(lost)} points are lost, the newest {lost[-1]}")
    return "no point is lost"


def fresh(point: Point, policy: Policy, now: datetime) -> str:
    """The newest point is not older than the schedule allows."""
    age = (now - point.when).total_seconds()
    gap = policy.longest_gap(now)
    if gap is None:
        return f"{age / 3600:.1f} h old; nothing is scheduled"
    most = gap.total_seconds() * LATE + GRACE_SECONDS
    if age > most:
        raise Failed(
            f"the newest point is {age / 3600:.1f} h old, and the schedule wants one every"
            f" {gap.total_seconds() / 3600:.1f} h"
        )
    return f"{age / 3600:.1f} h old"


def extensions(server: Server, point: Point) -> str:
    """The point has the extensions that the product needs, and each of them works here."""
    missing = [name for name in REQUIRED_EXTENSIONS if name not in point.extensions]
    if missing:
        raise Failed(f"the point was taken without the extension {', '.join(missing)}")
    with server.connect() as session:
        found = frozen.extensions(session)
        if found != point.extensions:
            raise Failed(f"the extensions are {found} instead of {point.extensions}")
        session.execute(b"SELECT public.l2_distance('[1,2]'::public.vector, '[1,3]')")
    return ", ".join(f"{name} {version}" for name, version in found.items())


def tables(point: Point, earlier: Sequence[Stored]) -> str:
    """The point has every table that the one before had, where the schema is the same."""
    before = next(
        (each.point for each in reversed(earlier) if each.point.schema == point.schema), None
    )
    if before is None:
        return f"{len(point.tables)} tables; no earlier point of this schema"
    gone = sorted(set(before.tables) - set(point.tables))
    if gone:
        raise Failed(
            f"{', '.join(gone)} is not in the point any more, and was in {before.id}, with the"
            f" same schema {point.schema or '(none)'}"
        )
    emptied = sorted(
        name
        for name, found in point.tables.items()
        if not found.rows and name in before.tables and before.tables[name].rows >= 100
    )
    if emptied:
        raise Failed(f"{', '.join(emptied)} has no rows any more, and had many in {before.id}")
    return f"{len(point.tables)} tables, as in {before.id}"


def content(server: Server, point: Point) -> str:
    """Every table holds exactly what it held when the point was taken."""
    with server.connect() as session:
        found = fingerprints.take(session)
    wrong = fingerprints.differences(point.tables, found)
    if wrong:
        raise Failed(f"{len(wrong)} of {len(point.tables)} tables differ: {'; '.join(wrong[:5])}")
    return f"{sum(each.rows for each in found.values())} rows in {len(found)} tables are equal"


def structure(server: Server) -> str:
    """Every B-tree agrees with its table, and every table's pages make sense."""
    done = process.run(
        [
            str(BINARIES / "pg_amcheck"),
            f"--host={server.sockets}",
            "--username=postgres",
            "--install-missing",
            "--heapallindexed",
            server.database,
        ],
        accept=range(256),
    )
    if done.code:
        raise Failed(f"pg_amcheck: {done.last()}")
    return "tables and B-trees are sound"


def vectors(server: Server, point: Point) -> str:
    """Every vector index is there, and finds what exact search finds."""
    with server.connect() as session:
        gone = sorted(set(point.indexes) - set(frozen.vector_indexes(session)))
        if gone:
            raise Failed(f"the vector index {', '.join(gone)} is gone")
        try:
            measured = recall.measure(session)
        except (LookupError, psycopg.Error) as error:
            raise Failed(f"a vector index cannot be used: {str(error).strip()}") from None
    poor = [each for each in measured if each.share < recall.LEAST]
    if poor:
        raise Failed(
            "; ".join(
                f"{each.index} finds {each.share:.0%} of the nearest {recall.NEAREST}"
                f" (at least {recall.LEAST:.0%})"
                for each in poor
            )
        )
    return ", ".join(f"{each.index} {each.share:.3f}" for each in measured) or "no vector index"


def uploads(settings: Settings, server: Server, stored: Stored, folder: Path) -> str:
    """Every document's file is in the snapshot, and sampled ones are as they are named."""
    with server.connect() as session:
        wanted = frozen.documents(session)
    there = (
        files.names(settings, stored.repository, stored.snapshot.id, settings.files_directory)
        if wanted
        else set()
    )
    missing = sorted(set(wanted) - there - set(stored.point.files["deleted"]))
    if missing:
        raise Failed(
            f"the files of {len(missing)} documents are not in the snapshot, such as"
            f" {missing[0]} of document {wanted[missing[0]]}"
        )
    kept = sorted(set(wanted) & there)
    sampled = secrets.SystemRandom().sample(kept, min(SAMPLED_FILES, len(kept)))
    if sampled:
        files.restore(
            settings,
            stored.repository,
            stored.snapshot.id,
            settings.files_directory,
            folder,
            only=[f"{name[:2]}/{name}" for name in sampled],
        )
    wrong = wrong_files(folder, sampled)
    shutil.rmtree(folder, ignore_errors=True)
    if wrong:
        raise Failed(f"{len(wrong)} of {len(sampled)} sampled files are not as named: {wrong[0]}")
    return f"{len(wanted)} files are there, {len(sampled)} of them read"


def wrong_files(folder: Path, names: Sequence[str]) -> list[str]:
    """Which files do not have the SHA-256 that they are named by."""
    found = []
    for name in names:
        path = folder / name[:2] / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            found.append(f"{name}: {error.strerror}")
            continue
        if digest != name:
            found.append(f"{name} has the content of {digest}")
    return found


def question(server: Server, asked: Mapping[str, object] | None) -> str:
    """A question whose answer is known is answered with it."""
    if not asked:
        return "nothing was stored that could be asked for"
    with server.connect() as session:
        if not passage.is_found(session, dict(asked)):
            raise Failed(f"the words {asked['words']!r} do not find passage {asked['chunk']} again")
    return f"found passage {asked['chunk']} of document {asked['document']}"
