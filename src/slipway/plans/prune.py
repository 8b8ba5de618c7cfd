"""What may be removed from engine and registry: nothing that any environment can go back to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipway.facts.inventory import EngineImage, RegistryImage
from slipway.plans.rollback import Line, ways_back

#: Somebody may be about to release what was built lately. The shorter time is for a disk that is
#: short: longer than any build and release takes.
RECENT_SECONDS = 24 * 3600
RECENT_WHEN_SHORT_SECONDS = 3600
GIBI = 1 << 30
MEBI = 1 << 20


@dataclass(frozen=True)
class Ways:
    """An environment's ledger, and how many releases it keeps; None where that is not known."""

    ledger: Sequence[Line]
    releases: int | None


@dataclass(frozen=True)
class Prune:
    """What goes from the engine and from the registry; `kept` counts the digests that stay."""

    engine: tuple[EngineImage, ...]
    registry: tuple[RegistryImage, ...]
    kept: int
    build_cache_gib: int
    collect: bool

    @property
    def empty(self) -> bool:
        """Whether no image goes."""
        return not self.engine and not self.registry

    def __str__(self) -> str:
        lines = [
            *(
                f"engine    {_shown(each.references[0])}  {_size(each.size)}"
                for each in self.engine
            ),
            *(
                f"registry  {each.repository}@{each.digest[:19]}  {_size(each.size)}"
                for each in self.registry
            ),
            f"cache     of builds, what is over {self.build_cache_gib} GiB",
        ]
        if self.collect:
            lines.append("garbage   of the registry, which does not answer for some seconds")
        return "\n".join(f"  {line}" for line in lines)


def retained(ways: Ways) -> list[Line]:
    """The ledger lines whose images stay.

    The last N finished releases, the last N that lie behind the environment, and what it was last
    known good with. Where N is not known every finished release stays.
    """
    done = [line for line in ways.ledger if line.get("result") == "done"]
    if ways.releases is None:
        return done
    behind = ways_back(ways.ledger)
    releases = [line for line in done if line.get("kind") != "rollback"]
    return [*behind[-ways.releases :], *releases[-ways.releases :], *done[-1:]]


def digests(environments: Iterable[Ways], engine: Iterable[EngineImage]) -> frozenset[str]:
    """The digests of the images that some environment can go back to, or that are in use."""
    back = (
        reference.partition("@")[2]
        for ways in environments
        for line in retained(ways)
        for reference in line.get("images", {}).values()
    )
    return frozenset(back).union(*(each.digests for each in engine if each.used))


def plan(
    kept: frozenset[str],
    engine: Sequence[EngineImage],
    registry: Sequence[RegistryImage],
    *,
    now: float,
    short: bool,
    build_cache_gib: int,
    collect: bool,
) -> Prune:
    """Everything goes that is not `kept`, as `digests` tells it, not in use, and not recent."""
    before = now - (RECENT_WHEN_SHORT_SECONDS if short else RECENT_SECONDS)
    gone = tuple(
        each
        for each in engine
        if not each.used and not each.digests & kept and each.created < before
    )
    deleted = tuple(each for each in registry if each.digest not in kept and each.created < before)
    return Prune(gone, deleted, len(kept), build_cache_gib, collect)


def _shown(reference: str) -> str:
    return reference.split("/", 1)[1][:60]


def _size(size: int) -> str:
    return f"{size / MEBI:.0f} MiB"
