"""Which changes of the schema a release applies: expand first, contract in a later one.

The rule is the backend's (`slipway_backend.schema.due`), which applies it when it migrates; here
it is told beforehand. Another test than its own holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.errors import Refused
from slipway.facts.migrations import Revision, Schema


@dataclass(frozen=True)
class Migrations:
    """What the migration of a release does; `known` is false when it cannot be told."""

    now: tuple[Revision, ...] = ()
    later: tuple[Revision, ...] = ()
    known: bool = True

    def lines(self) -> list[str]:
        """What a person reads before they agree."""
        if not self.known:
            return [
                "not known: the image does not name its revisions, or the database did not answer"
            ]
        waits = "waits for the next release, because an expand before it is not proved yet"
        return [
            *(f"{each.name} ({each.phase}) runs" for each in self.now),
            *(f"{each.name} ({each.phase}) {waits}" for each in self.later),
        ] or ["none"]


def due(revisions: Sequence[Revision] | None, schema: Schema | None, release: str) -> Migrations:
    """Split what `revisions` bring beyond `schema` into what `release` applies and what waits."""
    if revisions is None or schema is None:
        return Migrations(known=False)
    pending = pending_of(revisions, schema)
    applied_by = schema.applied_by
    if len(pending) == len(revisions):
        return Migrations(now=tuple(pending))
    expanded_now = any(
        each.phase == "expand" and applied_by.get(each.name) == release for each in revisions
    )
    for place, each in enumerate(pending):
        if each.phase == "contract" and expanded_now:
            return Migrations(tuple(pending[:place]), tuple(pending[place:]))
        expanded_now = expanded_now or each.phase == "expand"
    return Migrations(now=tuple(pending))


def pending_of(revisions: Sequence[Revision], schema: Schema) -> list[Revision]:
    """The revisions after the one that the database has."""
    names = [each.name for each in revisions]
    if schema.current is None:
        return list(revisions)
    if schema.current not in names:
        # Newer than the image: an older release that is put up again applies nothing.
        return []
    return list(revisions[names.index(schema.current) + 1 :])


def refuse_early_contract(
    migrations: Migrations, wanted: Sequence[Revision] | None, serving: Sequence[Revision] | None
) -> None:
    """Refuse a contract while what serves still needs the shape that it removes.

    That is so when the release that serves does not know every expand before it, as after going
    back. Raises Refused.
    """
    if wanted is None or serving is None:
        return
    known = {each.name for each in serving}
    order = [each.name for each in wanted]
    for contract in (each for each in migrations.now if each.phase == "contract"):
        before = wanted[: order.index(contract.name)]
        missing = [
            each.name for each in before if each.phase == "expand" and each.name not in known
        ]
        if missing:
            raise Refused(
                f"Schema change {contract.name} removes what the release that serves still needs: "
                f"it does not know {', '.join(missing)}. A contract comes in a later release than "
                "its expand: release a version without it first, then this one."
            )
