from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

import pytest

from slipway_backend.migrate import queue_changes_due
from slipway_backend.migrations import versions
from slipway_backend.schema import Change, due, phase_of

CONTRACTING = re.compile(
    r"\b(DROP|RENAME|SET NOT NULL|ADD CONSTRAINT|ADD PRIMARY KEY|TRUNCATE|ALTER COLUMN \w+ TYPE)\b"
)
REVISIONS = [
    importlib.import_module(f"{versions.__name__}.{found.name}")
    for found in pkgutil.iter_modules(versions.__path__)
]


def statements(module: ModuleType) -> list[str]:
    """Every SQL text that stands in a revision's module, on one line."""
    texts = [value for value in vars(module).values() if isinstance(value, str)]
    for value in vars(module).values():
        if isinstance(value, tuple):
            texts += [text for text in value if isinstance(text, str)]
    return [" ".join(text.split()) for text in texts]


@pytest.mark.parametrize("module", REVISIONS, ids=lambda module: str(module.revision))
def test_what_expands_removes_nothing_that_the_release_before_needs(module: ModuleType) -> None:
    if phase_of(module) == "contract":
        return
    harmless = getattr(module, "harmless", {})
    for statement in statements(module):
        if statement == " ".join((module.__doc__ or "").split()):
            continue
        if CONTRACTING.search(statement):
            assert any(statement.startswith(each) for each in harmless), statement


def test_a_revision_that_names_no_phase_is_refused() -> None:
    module = ModuleType("v0009_nameless")
    module.__file__ = "v0009_nameless.py"
    with pytest.raises(ValueError, match=r"v0009_nameless\.py.*phase"):
        phase_of(module)


A = Change("1", "expand", "first")
B = Change("2", "expand", "second")
NEW = Change("2", "expand")
CONTRACT = Change("3", "contract")
AFTER = Change("4", "expand")


@pytest.mark.parametrize(
    ("changes", "release", "now", "later"),
    [
        ([A, NEW, CONTRACT, AFTER], "second", ["2"], ["3", "4"]),
        ([A, B, CONTRACT, AFTER], "second", [], ["3", "4"]),
        ([A, B, CONTRACT], "third", ["3"], []),
        ([A, B, CONTRACT, AFTER], "third", ["3", "4"], []),
        ([Change("1", "expand"), NEW, CONTRACT], "first", ["1", "2", "3"], []),
        ([A, NEW, CONTRACT], "embedded", ["2", "3"], []),
        ([A, B], "third", [], []),
    ],
    ids=[
        "expanding leaves the contract",
        "the same release again leaves it too",
        "the next release contracts",
        "and goes on",
        "an empty database has nobody to wait for",
        "nor has one that is used alone",
        "nothing to do",
    ],
)
def test_a_contract_waits_for_another_release(
    changes: list[Change], release: str, now: list[str], later: list[str]
) -> None:
    found = due(changes, release)
    assert tuple([each.revision for each in part] for part in found) == (now, later)


def test_the_queues_post_migrations_wait_for_another_release_too() -> None:
    known = ["1_pre_a", "1_post_a", "2_pre_b", "2_post_b"]
    first = dict.fromkeys(known[:2], "first")
    assert queue_changes_due(known, first, "second") == ["2_pre_b"]
    second = first | {"2_pre_b": "second"}
    assert queue_changes_due(known, second, "second") == []
    assert queue_changes_due(known, second, "third") == ["2_post_b"]
