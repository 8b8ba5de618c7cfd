"""The steps that put the data tier right: replicas, then a switchover, then the old primary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slipway.config import members
from slipway.errors import Refused
from slipway.facts.engine import Container
from slipway.plans.steps import Kind, Step

if TYPE_CHECKING:
    from slipway.plans.release import Have, Want

NO_GAP = " (a replica: no gap)"
IN_PLACE = " (in place: a short gap)"


def replicated(document: Mapping[str, Any]) -> bool:
    """Whether the platform of this document has a data tier with replicas."""
    return members.STORE in document["services"]


def is_member(container: Container) -> bool:
    """Whether a container is a member of a data tier with replicas."""
    return container.service in members.MEMBERS and "environment MEMBER" in container.settings


def steps(
    want: Want, have: Have, found: Mapping[str, Container], wrong: Mapping[str, str]
) -> Iterator[Step]:
    """The steps of the data tier.

    `found` are the platform's containers by service, `wrong` says why one of them has to be
    replaced; services that are as they should be are not in it.
    """
    servers = [name for name in members.MEMBERS if name in want.platform.hashes]
    gone = [
        Step(Kind.DISMISS, name, "is wanted no more; its volume stays")
        for name in (*members.MEMBERS, members.STORE)
        if name in found and name not in want.platform.hashes
    ]
    primary = have.primary if have.primary in found else None
    if members.STORE not in want.platform.hashes:
        # The replicas go first: one of them would take over from a server that leaves the tier.
        yield from (step for step in gone if step.subject != members.STORE)
        yield from _without_primary(servers, found, wrong)
        yield from (step for step in gone if step.subject == members.STORE)
        return
    yield from _store(found, wrong)
    if primary is None:
        yield from _without_primary(servers, found, wrong)
    else:
        yield from _around(primary, servers, found, wrong)
    yield from gone


def _store(found: Mapping[str, Container], wrong: Mapping[str, str]) -> Iterator[Step]:
    name = members.STORE
    if name not in found:
        yield Step(Kind.PLATFORM, name, "does not run yet")
    elif name in wrong:
        reason = f"{wrong[name]} (in place: the primary goes on meanwhile)"
        yield Step(Kind.PLATFORM, name, reason, recreate=True)


def _without_primary(
    servers: list[str], found: Mapping[str, Container], wrong: Mapping[str, str]
) -> Iterator[Step]:
    for name in servers:
        # With the first one a data tier begins, from nothing or from a plain server's volume.
        kind = Kind.PLATFORM if name == members.FIRST else Kind.MEMBER
        if name not in found:
            yield Step(kind, name, "does not run yet")
        elif name in wrong:
            condition = f"is {found[name].condition}"
            gap = "" if wrong[name] == condition else IN_PLACE
            yield Step(kind, name, wrong[name] + gap, recreate=True)


def _around(
    primary: str, servers: list[str], found: Mapping[str, Container], wrong: Mapping[str, str]
) -> Iterator[Step]:
    for name in servers:
        if name not in found:
            yield Step(Kind.MEMBER, name, "does not run yet")
        elif name in wrong and name != primary:
            yield Step(Kind.MEMBER, name, wrong[name] + NO_GAP, recreate=True)
    if primary in wrong or primary not in servers:
        takes = "a replica takes the writes over: at most 5 s without"
        yield Step(Kind.SWITCHOVER, primary, takes)
    if primary in wrong:
        reason = f"{wrong[primary]} (a replica by then: no gap)"
        yield Step(Kind.MEMBER, primary, reason, recreate=True)


def refuse(want: Want, have: Have) -> None:
    """Refuse to make a plain server of a data tier whose newest data may be on another member."""
    others = [
        each.service
        for each in have.engine.containers
        if is_member(each) and each.service != members.FIRST
    ]
    if not others or members.STORE in want.platform.hashes or have.primary == members.FIRST:
        return
    where = have.primary or "unknown"
    raise Refused(
        f"A plain server would begin with the volume of {members.FIRST}, and the primary of "
        f"{want.environment} is {where}: what {members.FIRST} lacks would be lost. Nothing was "
        "touched",
        next_command=f"invoke db.switchover --env {want.environment} --to {members.FIRST}",
    )
