"""`slipway-backup VERB`: one object of JSON on the last line; 0 done, 1 failed, 2 refused."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from http import HTTPStatus
from pathlib import Path
from typing import Any

from slipway_backup import (
    disaster,
    drill,
    errors,
    export,
    extract,
    lock,
    points,
    privileges,
    progress,
    repositories,
    restoring,
    serve,
    settings,
    status,
    taking,
    verifying,
)
from slipway_backup.belongings import Wanted
from slipway_backup.errors import BackupError, Failed, Refused
from slipway_backup.keeper import keep, kept
from slipway_backup.policy import KINDS
from slipway_backup.settings import Settings

HEALTH_SECONDS = 10
#: What a repository has to stay as it is for, from the choice of a point on.
READS = frozenset({"verify", "restore", "drill", "export", "extract", "state"})


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say."""
    given = list(sys.argv[1:] if words is None else words)
    # Every file of this service is its own alone, or its group's.
    os.umask(0o027)
    try:
        chosen = parser().parse_args(given)
        privileges.settle(chosen.verb, given)
        if getattr(chosen, "secrets", ""):
            settings.take(sys.stdin)
        answer = answer_to(chosen, settings.load())
    except (BackupError, *errors.OTHERS) as error:
        failed = errors.own(error)
        # The bytes of what they write are on the standard output.
        stream = sys.stderr if given[:1] in (["export"], ["extract"]) else sys.stdout
        print(json.dumps({"error": str(failed), "next": failed.next}), file=stream)
        return failed.exit_code
    if answer is not None:
        print(json.dumps(answer, sort_keys=True, default=str))
    return 1 if chosen.verb == "kept" and answer and answer.get("problems") else 0


def answer_to(chosen: argparse.Namespace, own: Settings) -> dict[str, Any] | None:
    """What a verb answers. Raises BackupError."""
    if chosen.verb in {"serve", "keep"}:
        (serve.serve if chosen.verb == "serve" else keep.keep)(own)
        return None
    if chosen.verb in {"list", "status"}:
        return status.points_of(own) if chosen.verb == "list" else status.summary(own)
    work = {
        "health": _health,
        "run": _run,
        "verify": _verify,
        "restore": _restore,
        "drill": _drill,
        "export": _export,
        "extract": _extract,
        "survey": _survey,
        "adopt": _adopt,
        "state": _state,
        "kept": _kept,
    }[chosen.verb]
    with lock.shared(own.reading) if chosen.verb in READS else nullcontext():
        return work(own, chosen, progress.to_stderr())


def _health(
    own: Settings, _chosen: argparse.Namespace, _told: progress.Progress
) -> dict[str, Any] | None:
    """Ask the service that runs here; the engine does so again and again."""
    service = http.client.HTTPConnection("127.0.0.1", own.port, timeout=HEALTH_SECONDS)
    try:
        service.request("GET", "/health/ready")
        answer = service.getresponse()
        told: dict[str, Any] = json.load(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(f"the service does not answer: {error}", "slipway-backup status") from None
    if answer.status != HTTPStatus.OK:
        raise Failed(f"not ready: {'; '.join(told['problems'])}", "slipway-backup status")
    return told


def _run(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    taken = taking.run(own, chosen.kind, name=chosen.name, progress=told)
    own_id = taken.stored.point.id
    everything = status.points_of(own)["points"]
    return {
        "point": next(each for each in everything if each["id"] == own_id),
        "missed": [f"repository {number}: {why}" for number, why in taken.missed.items()],
    }


def _verify(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    found = verifying.run(own, chosen.point, read_data=chosen.read_data, progress=told)
    if not found["ok"]:
        raise Failed(
            f"{len(found['wrong'])} things are wrong: {'; '.join(found['wrong'][:5])}",
            "take a full point now: slipway-backup run --kind full",
        )
    return {"verified": found}


def _restore(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    if bool(chosen.point) is bool(chosen.to):
        raise Refused("say either --point or --to", "slipway-backup list")
    owner = restoring.owner_of(chosen.data, chosen.owner)
    choice = restoring.choose(own, point=chosen.point, to=chosen.to)
    done = restoring.restore(
        own, choice, chosen.data, into=chosen.files, owner=owner, progress=told
    )
    return {"restored": restoring.told(done)}


def _drill(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    found = drill.run(own, chosen.point, told, repository=chosen.repository)
    if found.failures:
        error = Failed(
            f"the drill failed: {'; '.join(found.failures)}", "docs/reference/backups.md"
        )
        print(json.dumps({"drill": found.told()}), file=sys.stderr)
        raise error
    return {"drill": found.told()}


def _export(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    if chosen.to != "-":
        raise Refused("a point is exported to standard output", "say --to - and redirect it")
    _require_no_terminal()
    export.run(own, chosen.point, sys.stdout.buffer, told)
    return None


def _extract(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    if bool(chosen.point) is bool(chosen.to):
        raise Refused("say either --point or --to", "slipway-backup list")
    if not chosen.collection and not chosen.document:
        raise Refused("say --collection or --document", "slipway-backup extract --help")
    _require_no_terminal()
    choice = restoring.choose(own, point=chosen.point, to=chosen.to)
    wanted = Wanted(chosen.collection, chosen.document)
    extract.run(own, choice, wanted, sys.stdout.buffer, told)
    return None


def _require_no_terminal() -> None:
    if sys.stdout.isatty():
        raise Refused("a tar is nothing for a terminal", "redirect it into a file")


def _survey(
    own: Settings, chosen: argparse.Namespace, _told: progress.Progress
) -> dict[str, Any] | None:
    return disaster.survey(own, chosen.folder, chosen.repository)


def _adopt(
    own: Settings, chosen: argparse.Namespace, told: progress.Progress
) -> dict[str, Any] | None:
    return {"adopted": disaster.adopt(own, chosen.folder, told)}


def _state(
    own: Settings, chosen: argparse.Namespace, _told: progress.Progress
) -> dict[str, Any] | None:
    disaster.state(own, chosen.repository, chosen.point, chosen.to)
    return {"state": chosen.point}


def _kept(
    own: Settings, chosen: argparse.Namespace, _told: progress.Progress
) -> dict[str, Any] | None:
    if chosen.accept:
        return kept.accept(own)
    if chosen.at and not chosen.to:
        raise Refused("--at says of when a repository is laid out", "say --to DIRECTORY too")
    return {"kept": kept.lay_out(own, chosen.to, chosen.at)} if chosen.to else kept.listed(own)


def parser() -> argparse.ArgumentParser:
    """The words that are understood."""
    made = argparse.ArgumentParser(prog="slipway-backup", description=__doc__, allow_abbrev=False)
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("serve", help="the service: receives the log, takes what is due, answers")
    run = verbs.add_parser("run", help="take a recovery point now")
    run.add_argument("--kind", choices=KINDS, default="incr")
    run.add_argument("--name", default="", help="what a person calls it")
    verbs.add_parser("list", help="every point, and how the archive is")
    verbs.add_parser("health", help="whether the service answers and receives the log")
    verbs.add_parser("status", help="what readiness and metrics are made of")
    verify = verbs.add_parser("verify", help="read what is stored")
    verify.add_argument("--point", default="", help="only what this point names")
    verify.add_argument("--read-data", action="store_true", help="also every file of restic's")
    restore = verbs.add_parser("restore", help="restore into folders")
    restore.add_argument("--point", default="", help="its id or name, or latest")
    restore.add_argument("--to", default="", help="a time with its zone, or latest")
    restore.add_argument("--data", type=Path, required=True, help="the database's folder")
    restore.add_argument("--files", type=Path, help="the folder of uploaded files")
    restore.add_argument("--owner", default="", help="UID of the database, else its volume's")
    restore.add_argument("--delta", action="store_true", help="always so: equal files are kept")
    held = verbs.add_parser("drill", help="restore into a scratch folder and prove it")
    held.add_argument("--point", default=points.LATEST)
    held.add_argument("--repository", type=int, help="out of this one; else they take turns")
    shelf = verbs.add_parser("export", help="one encrypted file of one point")
    shelf.add_argument("--point", required=True)
    shelf.add_argument("--to", required=True, help="- for standard output")
    taken = verbs.add_parser("extract", help="one collection or document, as a tar on the output")
    taken.add_argument("--point", default="", help="its id or name, or latest")
    taken.add_argument("--to", default="", help="a time with its zone, or latest")
    taken.add_argument("--collection", default="", help="by its name then")
    taken.add_argument("--document", default="", help="by its id, or its name in --collection")
    survey = verbs.add_parser("survey", help="what a copy of a repository holds; only reads it")
    survey.add_argument("--folder", type=Path, help="where the copy is; else a repository of ours")
    adopt = verbs.add_parser("adopt", help="make the copy of a repository this one's own")
    adopt.add_argument("--folder", type=Path, required=True, help="where the copy is")
    state = verbs.add_parser("state", help="restore a point's state: ledger, secrets, settings")
    state.add_argument("--point", required=True)
    state.add_argument("--to", type=Path, required=True, help="the folder of the state")
    verbs.add_parser("keep", help="the keeper: receives what lands, judges it, alone removes")
    given = verbs.add_parser("kept", help="what a keeper has; exit code 1 while it has a problem")
    given.add_argument("--to", type=Path, help="an empty folder for a repository as it was")
    given.add_argument("--at", default="", help="a receive time with its zone; else the last good")
    given.add_argument("--accept", action="store_true", help="what is wrong now was looked at")
    for each in (survey, state):
        each.add_argument("--repository", type=int, default=repositories.FIRST)
        each.add_argument("--secrets", choices=("-",), default="", help="as JSON on standard input")
    return made
