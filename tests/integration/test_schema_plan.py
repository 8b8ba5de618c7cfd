"""What a plan says of the schema is what the backend's migration then does."""

from __future__ import annotations

import itertools

from slipway.facts.migrations import Revision, Schema
from slipway.plans import migrations
from slipway_backend import schema
from slipway_backend.schema import Change


def test_plan_and_migration_agree_on_every_small_history() -> None:
    """All rows of up to five changes, applied up to any place by one of two releases or nobody."""
    tried = 0
    for length in range(1, 6):
        names = [f"{number:04}" for number in range(1, length + 1)]
        for phases in itertools.product(("expand", "contract"), repeat=length):
            for applied in range(length + 1):
                for by in itertools.product(("", "a", "b"), repeat=min(applied, 3)):
                    owners = dict(zip(reversed(names[:applied]), by, strict=False))
                    changes = [
                        Change(name, phase, owners.get(name, "") if place < applied else None)
                        for place, (name, phase) in enumerate(zip(names, phases, strict=True))
                    ]
                    found = migrations.due(
                        [Revision(*each) for each in zip(names, phases, strict=True)],
                        Schema(names[applied - 1] if applied else None, owners),
                        "b",
                    )
                    now, later = schema.due(changes, "b")
                    assert [each.name for each in found.now] == [each.revision for each in now]
                    assert [each.name for each in found.later] == [each.revision for each in later]
                    tried += 1
    assert tried > 1000
