"""The steps of a release that concern the central log store: it is changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from slipway.config.logs import SERVICES
from slipway.facts.engine import Container
from slipway.plans import in_place
from slipway.plans.steps import Step

if TYPE_CHECKING:
    from slipway.plans.release import Want

UNWANTED = "no store is wanted; what was kept stays"
UNSEEN = " (in place: lines wait meanwhile, and none is lost)"


def steps(want: Want, found: Mapping[str, Container], wrong: Mapping[str, str]) -> Iterator[Step]:
    """The steps that put store and collector right; `wrong` says which to replace, and why."""
    return in_place.steps(SERVICES, want, found, wrong, unwanted=UNWANTED, unseen=UNSEEN)
