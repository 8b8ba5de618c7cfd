"""What a worker says of a part of a point: what is there now, and what would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replaced:
    """A document of now that would go; `whole`: search has all of it."""

    id: str
    name: str
    version: int
    updated: str
    whole: bool


@dataclass(frozen=True)
class Document:
    """One document of the point, and what becomes of it.

    `action` is return, replace, file (of its original alone), none or lost; `again`: it is
    ingested anew, and not found until then where it is `unserved`.
    """

    id: str
    name: str
    action: str
    version: int
    replaced: tuple[Replaced, ...] = ()
    again: bool = False
    unserved: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Part:
    """All that would be done. `place` of the collection is there, renamed or return.

    `later` documents of the collection are not in the point; `grants` are given again, `refused`
    are not, because whose they were is gone, as the owners of `ownerless` documents are.
    `agreed` stands for all of it.
    """

    collection: str
    then: str
    place: str
    documents: tuple[Document, ...]
    later: int
    grants: tuple[str, ...]
    refused: tuple[str, ...]
    ownerless: int
    nothing: bool
    agreed: str


def parse(said: Mapping[str, Any]) -> Part:
    """The part in the answer to `receive`. Raises KeyError, TypeError or ValueError."""
    home = said["collection"]
    return Part(
        collection=str(home["name"]),
        then=str(home["then"]),
        place=str(home["place"]),
        documents=tuple(_document(each) for each in said["documents"]),
        later=int(said["later"]),
        grants=tuple(map(str, said["grants"])),
        refused=tuple(map(str, said["refused"])),
        ownerless=int(said["ownerless"]),
        nothing=bool(said["nothing"]),
        agreed=str(said["agreed"]),
    )


def _document(said: Mapping[str, Any]) -> Document:
    return Document(
        id=str(said["id"]),
        name=str(said["name"]),
        action=str(said["action"]),
        version=int(said["version"]),
        replaced=tuple(
            Replaced(
                str(each["id"]),
                str(each["name"]),
                int(each["version"]),
                str(each["updated_at"]),
                bool(each["whole"]),
            )
            for each in said["replaced"]
        ),
        again=bool(said["again"]),
        unserved=bool(said["unserved"]),
        lost=bool(said["lost"]),
    )
