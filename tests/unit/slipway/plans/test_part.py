"""What restoring a part would do is told before anybody agrees to it."""

from __future__ import annotations

from typing import Any

from slipway.facts import parts
from slipway.plans.part import SHOWN, Plan
from slipway.plans.restore import Target

TARGET = Target("p1", ("--point", "p1"), "p1 of 2026-11-29 12:00:00 UTC, 2 hours old")
OWN = {
    "id": "d1",
    "name": "ferry.md",
    "version": 2,
    "updated_at": "2026-11-29T13:00:00.123456+00:00",
    "whole": True,
}


def document(action: str, number: str = "d1", **changes: Any) -> dict[str, Any]:
    """What a worker says of a document."""
    return {
        "id": number,
        "name": "ferry.md",
        "action": action,
        "version": 1,
        "replaced": [],
        "again": False,
        "unserved": False,
        "lost": False,
        **changes,
    }


def plan(*documents: dict[str, Any], one: str = "", place: str = "there", **changes: Any) -> Plan:
    """The plan of what a worker says."""
    said = {
        "collection": {"name": "plans", "id": 3, "place": place, "then": "plans"},
        "documents": documents,
        "later": 0,
        "grants": [],
        "refused": [],
        "ownerless": 0,
        "nothing": place != "return" and all(each["action"] == "none" for each in documents),
        "agreed": "ab",
        **changes,
    }
    return Plan("dev", TARGET, parts.parse(said), one)


def test_a_deleted_document_is_named_with_its_version() -> None:
    found = plan(document("return"), one="d1")
    assert str(found).splitlines() == [
        f"restore document ferry.md of collection plans of dev as of {TARGET.said}:",
        "   1. return ferry.md: was deleted since (version 1, d1)",
        "  dev goes on serving, and nothing else of it changes",
    ]
    assert not found.replaces
    assert found.done.endswith("2 hours old: 1 came back")


def test_what_is_replaced_is_told_with_what_is_there_now() -> None:
    own = plan(document("replace", replaced=[OWN]), one="ferry.md")
    assert "replace ferry.md: version 2 of 2026-11-29 13:00:00 UTC is there now" in str(own)
    assert (own.replaces, own.name) == (True, "ferry.md")
    other = plan(document("replace", replaced=[OWN | {"id": "d2"}]))
    assert "document d2, uploaded under this name since, is removed" in str(other)
    assert other.name == "plans"
    torn = plan(document("replace", replaced=[OWN | {"whole": False}]))
    assert "passages of version 2 are missing" in str(torn)


def test_a_collection_is_told_with_all_that_comes_and_that_stays() -> None:
    found = plan(
        document("return", unserved=True, again=True),
        document("none", "d2"),
        document("file", "d3"),
        document("lost", "d4", lost=True),
        document("return", "d5", again=True, lost=True),
        place="return",
        later=2,
        grants=["ada may read"],
        refused=["bob may write"],
        ownerless=1,
    )
    said = str(found)
    for line in (
        "1. return collection plans: was deleted since",
        "is found again when a worker has ingested it",
        "its newest upload is ingested",
        "file of ferry.md: the original is gone, and nothing else",
        "unchanged since: 1 documents",
        "not in the point, and left alone: 2 documents",
        "its vectors are of another model than is served: passages are made anew",
        "cannot be brought back: ferry.md, whose file is in no point",
        "without its original, which is in no point: ferry.md",
        "given again: ada may read",
        "not given again, because they are gone: bob may write",
        "documents whose owner was deleted since: 1",
    ):
        assert line in said, line


def test_a_renamed_collection_keeps_its_name() -> None:
    home = {"name": "routes", "id": 3, "place": "renamed", "then": "plans"}
    found = plan(document("return"), collection=home)
    assert "plans is called routes now, and stays so" in str(found)
    assert found.name == "plans"


def test_many_documents_are_counted() -> None:
    found = plan(*(document("return", f"d{number}") for number in range(SHOWN + 5)))
    assert "and 5 more documents: 25 came back" in str(found)
    assert len(str(found).splitlines()) == SHOWN + 3


def test_nothing_to_do_says_what_could_not_be_done() -> None:
    assert plan(document("none"), one="d1").idle == (
        f"Nothing to do: document ferry.md of collection plans of dev is as of {TARGET.said}"
    )
    some = plan(document("none"), document("lost", "d2", lost=True), nothing=True)
    assert some.idle.endswith("but for ferry.md, whose file is in no point")
    assert not some.hopeless
    assert plan(document("lost", lost=True), nothing=True).hopeless
