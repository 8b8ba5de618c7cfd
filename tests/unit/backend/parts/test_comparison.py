"""What a part of a point would change is decided from its rows and those of now alone."""

from __future__ import annotations

from typing import Any

import pytest

from slipway_backend.parts import comparison
from slipway_backend.parts.comparison import Collection, Comparison, There

DOCUMENT = {
    "id": "d1",
    "source": "ferry.md",
    "filename": "ferry.md",
    "media_type": "text/markdown",
    "sha256": "ab",
    "served_sha256": "ab",
    "status": "ready",
    "language": "english",
    "metadata": {},
    "dated_at": None,
    "version": 1,
    "updated_at": "2026-11-29T12:00:00+00:00",
}
PLANS = {"id": 3, "name": "plans", "created_at": "2026-11-01"}


def change(
    wanted: dict[str, Any], own: There | None = None, other: There | None = None, **told: bool
) -> tuple[str, bool, bool]:
    """What becomes of a document: the action, whether it is ingested, whether something goes."""
    known = {"embedded": True, "filed": True, "file_given": True, **told}
    found = comparison.change(wanted, own, other, **known)
    return found.action, found.again, bool(found.replaced)


def there(whole: bool = True, **changes: Any) -> There:
    return There(DOCUMENT | changes, whole)


def test_a_document_that_is_as_it_was_is_left_alone() -> None:
    assert change(DOCUMENT, there()) == ("none", False, False)
    # Its version may have another number, and it may have been touched.
    assert change(DOCUMENT, there(version=9, updated_at="later")) == ("none", False, False)
    assert change(DOCUMENT, there(), filed=False) == ("file", False, False)
    assert change(DOCUMENT, there(), filed=False, file_given=False) == ("none", False, False)


@pytest.mark.parametrize(
    "own",
    [
        there(sha256="cd"),
        there(served_sha256="cd"),
        there(status="failed"),
        there(metadata={"by": "ada"}),
        there(source="boat.md"),
        there(whole=False),
    ],
)
def test_a_document_that_is_another_one_is_replaced(own: There) -> None:
    assert change(DOCUMENT, own) == ("replace", False, True)


def test_a_document_that_is_gone_returns() -> None:
    assert change(DOCUMENT) == ("return", False, False)
    assert change(DOCUMENT, None, there(id="d2")) == ("replace", False, True)


def test_what_has_no_vectors_here_is_ingested_and_needs_its_file() -> None:
    assert change(DOCUMENT, embedded=False) == ("return", True, False)
    assert change(DOCUMENT, embedded=False, filed=False) == ("return", True, False)
    lost = {"embedded": False, "filed": False, "file_given": False}
    assert change(DOCUMENT, **lost) == ("lost", False, False)
    # Nothing of now goes for what cannot be brought back.
    assert change(DOCUMENT, there(sha256="cd"), **lost) == ("lost", False, False)


def test_an_upload_in_work_then_may_have_ended_since() -> None:
    then = DOCUMENT | {"status": "processing", "served_sha256": None}
    assert change(then, there()) == ("none", False, False)
    assert change(then) == ("return", True, False)


def test_a_collection_is_known_by_its_number_and_the_moment_it_was_made() -> None:
    assert comparison.place(PLANS, [PLANS]).place == "there"
    renamed = comparison.place(PLANS, [PLANS | {"name": "routes"}])
    assert (renamed.name, renamed.id, renamed.place) == ("routes", 3, "renamed")
    anew = comparison.place(PLANS, [PLANS | {"id": 8, "created_at": "2026-11-20"}])
    assert (anew.id, anew.place) == (8, "there")
    gone = comparison.place(PLANS, [])
    assert (gone.id, gone.place) == (3, "return")
    other = {"id": 3, "name": "other", "created_at": "2026-11-20"}
    taken = comparison.place(PLANS, [other])
    assert (taken.id, taken.place) == (None, "return")


def test_a_set_is_known_by_its_fingerprint() -> None:
    here = {"fingerprint": "f", "provider": "builtin", "model": "m", "dimension": 384}
    then = [here | {"id": 1, "fingerprint": "e"}, here | {"id": 2}]
    assert comparison.serving_of(here, then) == 2
    assert comparison.serving_of(here, then[:1]) is None
    # A release from before signatures told model and dimension only.
    assert comparison.serving_of(here, [here | {"id": 5, "fingerprint": None}]) == 5
    unsigned = [here | {"id": 5, "fingerprint": None, "dimension": 3}]
    assert comparison.serving_of(here, unsigned) is None


def test_what_was_agreed_to_is_exactly_that() -> None:
    def made(**changes: Any) -> Comparison:
        found = comparison.change(
            DOCUMENT,
            there(sha256="cd", **changes),
            None,
            embedded=True,
            filed=True,
            file_given=True,
        )
        return Comparison(Collection("plans", 3, "there", "plans"), (found,))

    assert made().agreed == made().agreed
    assert made().agreed != made(updated_at="later").agreed
    assert not made().nothing
    back = Comparison(Collection("plans", 3, "return", "plans"), ())
    assert not back.nothing
    assert back.told()["agreed"] == back.agreed
