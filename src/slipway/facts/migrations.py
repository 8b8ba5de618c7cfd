"""The schema's revisions: those that an image brings, and those that a database has.

An image says its own in a label, so that a release needs neither a checkout nor a container for it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.commands import database
from slipway.run import run

LABEL = "slipway.schema"
FOLDER = Path("services/backend/src/slipway_backend/migrations/versions")


@dataclass(frozen=True)
class Revision:
    """One change of the schema; `phase` is `expand` or `contract`."""

    name: str
    phase: str


@dataclass(frozen=True)
class Schema:
    """What a database has: its newest revision, and which release applied which."""

    current: str | None
    applied_by: Mapping[str, str]


NEVER_MIGRATED = Schema(None, {})


def of_checkout(root: Path) -> tuple[Revision, ...]:
    """The revisions in a checkout, oldest first, read without importing them."""
    paths = sorted((root / FOLDER).glob("v[0-9]*.py"))
    stated = [_stated(path) for path in paths]
    return tuple(Revision(each["revision"], each["phase"]) for each in stated)


def of_labels(labels: Mapping[str, str]) -> tuple[Revision, ...] | None:
    """The revisions that an image's labels name; None for an image from before the label."""
    if not labels.get(LABEL):
        return None
    pairs = [entry.partition(":") for entry in labels[LABEL].split()]
    return tuple(Revision(name, phase) for name, _, phase in pairs)


def label(revisions: Sequence[Revision]) -> str:
    """The label's value."""
    return " ".join(f"{each.name}:{each.phase}" for each in revisions)


def of_database(container: str) -> Schema | None:
    """What the running database has; None when it cannot be asked."""
    done = run(database.schema(container), check=False, timeout=30)
    if done.exit_code != 0:
        # Without the table of the schema it was never migrated.
        return NEVER_MIGRATED if "does not exist" in done.errors else None
    answer = json.loads(done.output)
    return Schema(answer["current"], answer["applied"])


def _stated(path: Path) -> dict[str, str]:
    """The plain assignments of a revision's module."""
    return {
        target.id: statement.value.value
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
