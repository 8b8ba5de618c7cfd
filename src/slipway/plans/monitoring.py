"""The steps of a release that concern monitoring: who watches is changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from slipway.config.monitoring import SERVICES
from slipway.facts.engine import Container
from slipway.plans import in_place
from slipway.plans.steps import Step

if TYPE_CHECKING:
    from slipway.plans.release import Want

#: Of the user with which the probe asks its question.
PASSWORD = "probe_password"  # noqa: S105  # nosec B105
UNWANTED = "nobody shall watch; what was measured stays"
UNSEEN = " (in place: no user notices)"


def steps(want: Want, found: Mapping[str, Container], wrong: Mapping[str, str]) -> Iterator[Step]:
    """The steps that put right who watches; `wrong` says which have to be replaced, and why."""
    return in_place.steps(SERVICES, want, found, wrong, unwanted=UNWANTED, unseen=UNSEEN)
