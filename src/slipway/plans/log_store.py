"""The steps of a release that concern the central log store: it is changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from slipway.config.logs import SERVICES
from slipway.facts.engine import Container
from slipway.plans.steps import Kind, Step

if TYPE_CHECKING:
    from slipway.plans.release import Want

UNSEEN = " (in place: lines wait meanwhile, and none is lost)"


def steps(want: Want, found: Mapping[str, Container], wrong: Mapping[str, str]) -> Iterator[Step]:
    """The steps that put store and collector right; `wrong` says which to replace, and why."""
    for name in SERVICES:
        if name not in want.platform.hashes:
            if name in found:
                yield Step(Kind.DISMISS, name, "no store is wanted; what was kept stays")
        elif name not in found:
            yield Step(Kind.PLATFORM, name, "does not run yet")
        elif name in wrong:
            yield Step(Kind.PLATFORM, name, wrong[name] + UNSEEN, recreate=True)
