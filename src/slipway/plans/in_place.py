"""The steps that put right what is changed where it is, one service after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from slipway.facts.engine import Container
from slipway.plans.steps import Kind, Step

if TYPE_CHECKING:
    from slipway.plans.release import Want


def steps(
    services: Sequence[str],
    want: Want,
    found: Mapping[str, Container],
    wrong: Mapping[str, str],
    *,
    unwanted: str,
    unseen: str,
) -> Iterator[Step]:
    """The steps for each of `services`, in their order; `wrong` says which to replace, and why.

    `unwanted` is the reason where one shall not run, `unseen` what is added to another one.
    """
    for name in services:
        if name not in want.platform.hashes:
            if name in found:
                yield Step(Kind.DISMISS, name, unwanted)
        elif name not in found:
            yield Step(Kind.PLATFORM, name, "does not run yet")
        elif name in wrong:
            yield Step(Kind.PLATFORM, name, wrong[name] + unseen, recreate=True)
