"""A collection or a document comes back while everything else goes on."""

from __future__ import annotations

from typing import Any

import pytest
from standin_world import World

DOCUMENT = {
    "id": "0d1f7a3e-0000-4000-8000-000000000001",
    "name": "ferry.md",
    "action": "return",
    "version": 1,
    "replaced": [],
    "again": False,
    "unserved": False,
    "lost": False,
}
REPLACED = {
    "id": DOCUMENT["id"],
    "name": "ferry.md",
    "version": 2,
    "updated_at": "2026-11-29T13:00:00+00:00",
    "whole": True,
}
RESTORE = ("restore", "--env", "dev", "--collection", "plans")


def compared(*documents: dict[str, Any], nothing: bool = False) -> dict[str, Any]:
    """What a worker answers."""
    return {
        "collection": {"name": "plans", "id": 3, "place": "there", "then": "plans"},
        "documents": documents,
        "later": 0,
        "grants": [],
        "refused": [],
        "ownerless": 0,
        "nothing": nothing,
        "agreed": "ab",
    }


@pytest.fixture
def kept(once_kept: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A released environment with backups, from which one document was deleted."""
    once_kept.recall("kept")
    once_kept.connect(monkeypatch)
    once_kept.standin.compared = compared(DOCUMENT)
    return once_kept


def changes(world: World) -> list[str]:
    """What was asked of the services, in order."""
    return [each for each in world.standin.changes if not each.startswith(("toolbox", "POST"))]


def test_a_deleted_document_comes_back_without_a_question(kept: World) -> None:
    ended = kept.invoke(*RESTORE, "--document", "ferry.md", "--to", "p1")
    assert ended.exit_code == 0, ended
    assert changes(kept) == [
        "backup extract --point p1 --collection plans --document ferry.md",
        "parts put",
        "parts discard",
    ]
    assert "return ferry.md: was deleted since" in ended.output
    line = kept.ledger()[-1]
    assert (line["kind"], line["result"]) == ("restore", "restored")
    assert line["reason"].startswith("document ferry.md of collection plans of dev is as of p1")
    assert "Nothing to do" in kept.release().output


def test_without_a_moment_it_is_the_newest_point(kept: World) -> None:
    assert kept.invoke(*RESTORE).exit_code == 0
    assert changes(kept)[0] == "backup extract --point p2 --collection plans"
    kept.standin.changes.clear()
    assert kept.invoke(*RESTORE, "--to", "latest").exit_code == 0
    assert changes(kept)[0] == "backup extract --to latest --collection plans"


def test_a_plan_puts_nothing_back(kept: World) -> None:
    ended = kept.invoke(*RESTORE, "--plan")
    assert ended.exit_code == 0, ended
    assert changes(kept)[1:] == ["parts discard"]
    assert kept.ledger()[-1]["kind"] != "restore"


def test_what_is_replaced_is_named(kept: World) -> None:
    kept.standin.compared = compared({**DOCUMENT, "action": "replace", "replaced": [REPLACED]})
    words = (*RESTORE, "--document", "ferry.md")
    asked = kept.invoke(*words)
    assert asked.exit_code == 2
    assert "give --yes-overwrite ferry.md" in asked.errors
    assert "parts put" not in changes(kept)
    assert not kept.standin.parts
    assert kept.invoke(*words, "--yes-overwrite", "ferry.md").exit_code == 0
    assert "parts put" in changes(kept)


def test_what_is_as_it_was_is_left_alone(kept: World) -> None:
    kept.standin.compared = compared({**DOCUMENT, "action": "none"}, nothing=True)
    ended = kept.invoke(*RESTORE)
    assert ended.exit_code == 0, ended
    assert "Nothing to do: collection plans of dev is as of p2" in ended.output
    assert changes(kept)[1:] == ["parts discard"]


def test_what_cannot_be_brought_back_is_a_refusal(kept: World) -> None:
    kept.standin.compared = compared({**DOCUMENT, "action": "lost", "lost": True}, nothing=True)
    ended = kept.invoke(*RESTORE, "--document", "ferry.md")
    assert ended.exit_code == 2
    assert "its file is in no point" in ended.errors


def test_the_services_own_words_are_told(kept: World) -> None:
    kept.standin.faults.backup["extract"] = (
        "",
        '{"error": "there was no collection \'plans\' then", "next": "name another"}\n',
        2,
    )
    ended = kept.invoke(*RESTORE)
    assert ended.exit_code == 2
    assert "The backup service of dev: there was no collection 'plans' then" in ended.errors
    assert "name another" in ended.errors


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ("slipway-backup: error: argument VERB: invalid choice: 'extract'", 2, "a part yet"),
        # Ended by somebody else: nothing but its end is known of it.
        ("", 137, "The backup service of dev: it ended with exit code 137"),
    ],
)
def test_a_backup_service_that_ends_is_told(kept: World, said: str, code: int, told: str) -> None:
    kept.standin.faults.backup["extract"] = ("", f"{said}\n", code)
    ended = kept.invoke(*RESTORE)
    assert ended.exit_code == (2 if code == 2 else 1)
    assert told in ended.errors
    assert "parts put" not in changes(kept)


@pytest.mark.parametrize(
    ("verb", "said", "told"),
    [
        ("receive", "argument command: invalid choice: 'parts'", "cannot restore a part yet"),
        ("receive", "The database gave no answer (OperationalError).", "A worker of dev: The data"),
        ("put", "Something of it was changed by somebody else meanwhile.", "changed by somebody"),
    ],
)
def test_a_worker_that_refuses_is_told(kept: World, verb: str, said: str, told: str) -> None:
    kept.standin.faults.parts[verb] = said
    ended = kept.invoke(*RESTORE)
    assert ended.exit_code == 2
    assert told in ended.errors
    assert "next: " in ended.errors
    assert kept.ledger()[-1]["kind"] != "restore"


def test_words_that_do_not_go_together_are_refused(kept: World) -> None:
    into = kept.invoke(*RESTORE, "--into", "copy")
    assert "--into is for all data" in into.errors
    name = kept.invoke("restore", "--env", "dev", "--document", "ferry.md")
    assert "say in which --collection its name is" in name.errors
    assert (into.exit_code, name.exit_code) == (2, 2)
    assert changes(kept) == []


def test_without_a_worker_nothing_is_taken_out(kept: World) -> None:
    for each in kept.standin.containers.values():
        if "-worker-" in each["Name"]:
            each["State"]["Status"] = "exited"
    ended = kept.invoke(*RESTORE)
    assert ended.exit_code == 2
    assert "No worker of dev runs" in ended.errors
    assert changes(kept) == []
