"""The backup service of the stand-in engine: the verbs of `slipway-backup`, and what it keeps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What an environment's file says that is backed up.
SCHEDULED = {
    "policy": "scheduled",
    "full": "0 2 * * 0",
    "differential": "0 2 * * 1-6",
    "incremental": "15 * * * *",
    "drill": "0 4 * * 0",
    "keep": {"full": 2, "differential": 6},
    "second": None,
}

Said = tuple[str, str, int]
#: What is done with a repository that no environment runs on, and what it is called elsewhere.
APART = ("survey", "adopt", "state")
SECOND = "second"
OVER = ("lease.json", "journal.jsonl", "handed.json", "handed-before.json")


@dataclass
class Copy:
    """The copy of a repository: its points, their state in a folder, and what opens it."""

    points: list[dict[str, Any]]
    held: Path
    secrets: Mapping[str, str]
    damaged: list[str] = field(default_factory=list)
    refused: str = ""

    def survey(self) -> Said:
        """What it holds; nothing tells where the archive ends."""
        if self.refused:
            return failed(2, self.refused, "give another folder")
        platform = json.loads((self.held / "rendered/platform.json").read_text())["name"]
        lines = (self.held / "ledger.jsonl").read_text().splitlines()
        of = {"platform": platform, "images": json.loads(lines[-1])["images"] if lines else {}}
        return _done({"points": self.points, "archive": {}, "damaged": self.damaged, "of": of})

    def restore(self, state: Path) -> None:
        """Its state, as the service restores it."""
        shutil.copytree(self.held, state, ignore=shutil.ignore_patterns(*OVER), dirs_exist_ok=True)


def verb(words: Sequence[str]) -> str:
    """The verb of a container that works on such a repository; empty for any other."""
    return next((each for each in words if each in APART), "")


def folder(words: Sequence[str]) -> str:
    """The folder of the host that is mounted in it."""
    mounts = [each for each in words if each.startswith("type=bind,")]
    return mounts[0].split('"')[1].removeprefix("source=") if mounts else ""


def made(points: list[dict[str, Any]], words: Sequence[str], age: float = 0.0) -> dict[str, Any]:
    """A new point, as `run` makes it."""
    told = dict(zip(words[::2], words[1::2], strict=True))
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
    point = {
        "id": f"p{len(points) + 1}",
        "time": moment,
        "kind": told.get("--kind") or ("incr" if points else "full"),
        "name": told.get("--name", ""),
        "size_bytes": 5 << 20,
        "repositories": [1],
        "verified": None,
        "lsn": "0/552F890",
        "release": {"version": "3f2a", "generation": 1},
    }
    points.append(point)
    return point


def answer(points: list[dict[str, Any]], verb: str, words: Sequence[str]) -> Said:
    """What a verb prints on both streams, and how it ends."""
    told = dict(zip(words[::2], words[1::2], strict=False))
    match verb:
        case "list":
            newest = points[-1]["time"] if points else None
            archive = {"newest": newest, "behind_seconds": 3 if points else None}
            repository = {"bytes": 7 << 20, "free_bytes": 9 << 30}
            return _done({"points": points, "archive": archive, "repository": repository})
        case "run" if told.get("--name") and told["--name"] in {each["name"] for each in points}:
            said = f"there is a point named {told['--name']!r} already"
            return failed(2, said, "give it another name")
        case "run":
            return _done({"point": made(points, words)}, "copying the database")
        case "verify":
            return _done({"ok": True}, "reading")
        case "drill" if points:
            chosen = told.get("--point") or points[-1]["id"]
            proved = {"point": chosen, "rto_seconds": 12, "rpo_seconds": 2, "key": "live"}
            at = {"at": points[-1]["time"], "ok": True, "what": "drill"}
            next(each for each in points if each["id"] == chosen)["verified"] = at
            return _done({"drill": proved}, "restoring")
        case "export":
            return "encrypted", "", 0
        case "extract":
            return "a part", json.dumps({"progress": 1.0, "what": "handing it over"}) + "\n", 0
    return failed(1, f"nothing to {verb}", "invoke backup --env dev")


def restored(to: str) -> Said:
    """The end of a restore."""
    return _done({"restored": {"reached": to, "files": 3}}, "restoring the database")


def failed(code: int, error: str, following: str) -> Said:
    """A complaint, as the service prints it."""
    return json.dumps({"error": error, "next": following}) + "\n", "", code


def _done(said: Mapping[str, Any], what: str = "") -> Said:
    lines = [
        {"progress": part, "what": what, "eta_seconds": round(9 * (1 - part))}
        for part in (0.0, 0.5, 1.0)
    ]
    told = "".join(f"{json.dumps(line)}\n" for line in lines) if what else ""
    return json.dumps(said) + "\n", told, 0
