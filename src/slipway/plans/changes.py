"""What a release changes in the settings of each service, beside the steps that do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slipway.facts.state import StateFacts
from slipway.plans import settings
from slipway.plans.differences import Difference, between
from slipway.plans.stacks import Stack


def changes(
    platform: Stack, app: Stack, state: StateFacts, active: int | None
) -> tuple[Difference, ...]:
    """Compare the wanted stacks with those that were released last, service by service.

    Everything is new where no configuration is kept. The number of a generation is no change.
    """
    before = {
        **_tables(state.rendered.get("platform.json", {})),
        **_tables(state.rendered.get(f"g{active}/app.json", {})),
    }
    after = {**_tables(platform.document), **_tables(app.document)}
    return tuple(_compared(before, after))


def _compared(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> Iterator[Difference]:
    for service in sorted(before.keys() | after.keys()):
        yield from between(service, before.get(service, {}), after.get(service, {}))


def _tables(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {
        name: {
            **{
                key: value
                for key, value in settings.described(service, document).items()
                if key != "environment GENERATION" and not key.startswith("alias backend-g")
            },
            **settings.others(service),
            "replicas": str(service.get("scale", 1)),
        }
        for name, service in document.get("services", {}).items()
    }
