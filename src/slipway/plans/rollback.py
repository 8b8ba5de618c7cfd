"""Which release a rollback goes back to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.errors import Refused
from slipway.facts.migrations import Revision, Schema

Line = Mapping[str, Any]


def ways_back(ledger: Sequence[Line]) -> list[Line]:
    """The finished releases that lie behind the environment, the newest last.

    A release comes on top; a rollback takes off what it went back over. So a second rollback goes
    further back, and never to what the first one left. A release of the very same stays one.
    """
    numbered = {line["number"]: line for line in ledger}
    behind: list[Line] = []
    for line in ledger:
        if line.get("result") != "done":
            continue
        if line.get("kind") != "rollback":
            if behind and same(behind[-1], line):
                behind.pop()
            behind.append(line)
            continue
        numbers = [each["number"] for each in behind]
        if line["to"] in numbers:
            del behind[numbers.index(line["to"]) + 1 :]
        elif line["to"] in numbered:
            behind.append(numbered[line["to"]])
    return behind


def same(one: Line, other: Line) -> bool:
    """Whether two lines released the same images in the same configuration."""
    return all(one.get(key) == other.get(key) for key in ("images", "configuration"))


def target(
    environment: str,
    ledger: Sequence[Line],
    journal: Sequence[Line],
    active: int | None,
    version: str,
) -> Line:
    """The ledger line to go back to: the release before what serves, or the newest of `version`.

    While a release is not finished, in its soak or because it was killed, what it replaced is the
    release before. A rollback that was killed is finished by the next one. Raises Refused.
    """
    behind = ways_back(ledger)
    if version:
        return _named(environment, ledger, version, behind[-1] if behind else {})
    if not behind:
        raise Refused(
            f"{environment} has no finished release to go back to",
            next_command=f"invoke history --env {environment}",
        )
    if journal:
        unfinished = (each for each in ledger if each["number"] == journal[-1].get("to"))
        return next(unfinished, behind[-1])
    finished = next(line for line in reversed(ledger) if line.get("result") == "done")
    if active is not None and active != finished["generation"]:
        return behind[-1]
    if len(behind) < 2:
        raise Refused(
            f"{environment} has no release before {behind[-1]['version']}",
            next_command=f"invoke history --env {environment}",
        )
    return behind[-2]


def _named(environment: str, ledger: Sequence[Line], version: str, newest: Line) -> Line:
    """The newest finished release of a version; one version may have had several configurations."""
    done = [
        line
        for line in ledger
        if line.get("result") == "done" and line.get("kind", "release") == "release"
    ]
    found = [line for line in done if line["version"] == version]
    if not found:
        known = ", ".join(dict.fromkeys(str(line["version"]) for line in reversed(done)))
        raise Refused(
            f"{environment} never finished a release {version} (there are: {known or 'none'})",
            next_command=f"invoke history --env {environment}",
        )
    return next((line for line in reversed(found) if not same(line, newest)), found[-1])


def refuse_contracted(
    version: str,
    knows: Sequence[Revision] | None,
    told: Sequence[Revision],
    schema: Schema | None,
) -> None:
    """Refuse a version whose code needs what a contract step has removed since.

    `knows` are the schema changes of that version, `told` those of every image that names any, from
    which the phase of a later one is taken; one of unknown phase, or of both, counts as a contract.
    A version from before images named their changes is let through. Raises Refused.
    """
    if knows is None or schema is None:
        return
    phases = {(each.name, each.phase) for each in told}
    names = {each.name for each in knows}
    for later in sorted(set(schema.applied_by) - names):
        contracts = (later, "contract") in phases
        if (later, "expand") in phases and not contracts:
            continue
        why = (
            f"schema change {later} has removed what its code needs"
            if contracts
            else f"whether its code works with schema change {later} is not known"
        )
        raise Refused(
            f"{version} cannot be put back: {why}, and no migration is run backwards",
            next_command="release a version that works with the database as it is now",
        )
