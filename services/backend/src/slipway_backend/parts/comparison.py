"""What a part of a point would change here: pure, from its rows and from those that are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Row = Mapping[str, Any]
Action = Literal["return", "replace", "file", "none", "lost"]
Place = Literal["there", "renamed", "return"]

#: What makes a document the same, whatever number its version has.
SAME = ("source", "filename", "sha256", "metadata", "dated_at")
#: What is so as well once its newest upload has ended.
ENDED_SAME = ("served_sha256", "media_type", "status", "language")
UNFINISHED = ("queued", "processing")


@dataclass(frozen=True)
class There:
    """A document that is here now; `whole`: search has all of its passages."""

    row: Row
    whole: bool

    @property
    def id(self) -> str:
        """Its number."""
        return str(self.row["id"])


@dataclass(frozen=True)
class Change:
    """What becomes of one document of the point.

    `replaced` are the documents of now that it takes the place of. `again`: it is ingested from its
    file, and `unserved` until then; `lost`: its file is nowhere, so that it could not be.
    """

    id: str
    name: str
    action: Action
    version: int
    replaced: tuple[dict[str, Any], ...] = ()
    again: bool = False
    unserved: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Collection:
    """Where the documents go: `name` now, `id` now (None: a new number), and how that came."""

    name: str
    id: int | None
    place: Place
    then: str


@dataclass(frozen=True)
class Comparison:
    """All that would be done, and what would not.

    `later`: documents of the collection that the point has not and that stay; `grants` come back,
    `refused` not, because whose they were is gone; `ownerless`: documents whose owner is gone.
    """

    collection: Collection
    documents: tuple[Change, ...]
    later: int = 0
    grants: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    ownerless: int = 0
    point: str = ""
    reached: str = ""

    @property
    def nothing(self) -> bool:
        """Whether all of it is as it was."""
        unchanged = all(each.action in ("none", "lost") for each in self.documents)
        return unchanged and self.collection.place != "return"

    @property
    def agreed(self) -> str:
        """What stands for exactly this, so that nothing else is done than was agreed to."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def told(self) -> dict[str, Any]:
        """For the answer."""
        return {**asdict(self), "nothing": self.nothing, "agreed": self.agreed}


def place(wanted: Row, there: Iterable[Row]) -> Collection:
    """Which collection of now is the point's: the very same, else the one of its name.

    One under the same number that was made at another moment is another one.
    """
    known = list(there)
    name = str(wanted["name"])
    for each in known:
        if each["id"] == wanted["id"] and each["created_at"] == wanted["created_at"]:
            how: Place = "there" if each["name"] == name else "renamed"
            return Collection(str(each["name"]), each["id"], how, name)
    for each in known:
        if each["name"] == name:
            return Collection(name, each["id"], "there", name)
    taken = any(each["id"] == wanted["id"] for each in known)
    return Collection(name, None if taken else int(wanted["id"]), "return", name)


def change(
    wanted: Row,
    own: There | None,
    other: There | None,
    *,
    embedded: bool,
    filed: bool,
    file_given: bool,
) -> Change:
    """What becomes of a document that has `own` under its number and `other` under its name.

    `embedded`: its passages have vectors that can be served here; `filed`: all of its files are
    here; `file_given`: they came with it.
    """
    name = str(wanted["source"] or wanted["filename"])
    number, version = str(wanted["id"]), int(wanted["version"])
    lost = not filed and not file_given
    if own is not None and other is None and is_same(wanted, own.row) and own.whole:
        return Change(number, name, "none" if filed or lost else "file", version, lost=lost)
    again = wanted["status"] in UNFINISHED or not embedded
    if lost and again:
        return Change(number, name, "lost", version, lost=True)
    replaced = tuple(_told(each) for each in (own, other) if each is not None)
    action: Action = "replace" if replaced else "return"
    return Change(number, name, action, version, replaced, again, not embedded, lost)


def is_same(wanted: Row, there: Row) -> bool:
    """Whether a document is what it was; one that was not read yet then may have been since."""
    names = SAME if wanted["status"] in UNFINISHED else (*SAME, *ENDED_SAME)
    return all(wanted.get(name) == there.get(name) for name in names)


def serving_of(serving: Row, sets: Iterable[Row]) -> int | None:
    """The number that the served embedding set had in the point; None when it was not there."""
    short = ("provider", "model", "dimension")
    for each in sets:
        if serving["fingerprint"] and each["fingerprint"]:
            if serving["fingerprint"] == each["fingerprint"]:
                return int(each["id"])
        elif all(serving[name] == each[name] for name in short):
            return int(each["id"])
    return None


def _told(there: There) -> dict[str, Any]:
    return {
        "id": there.id,
        "name": str(there.row["source"] or there.row["filename"]),
        "version": there.row["version"],
        "updated_at": str(there.row["updated_at"]),
        "whole": there.whole,
    }
