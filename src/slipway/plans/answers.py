"""Whether a backend that is stopped has the time to finish its longest answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.errors import Refused
from slipway.plans.settings import seconds

# What the backend takes where its environment says nothing (services/backend, settings.py), and
# what it adds to finish (server.py).
LLM_SECONDS = 120.0
DRAIN_SECONDS = 5.0
FINISH_SECONDS = 5.0


def needed(environment: Mapping[str, Any]) -> float:
    """Seconds from SIGTERM until a backend with these variables has ended by itself."""
    drain = float(environment.get("DRAIN_SECONDS") or DRAIN_SECONDS)
    longest = float(environment.get("LLM_SECONDS") or LLM_SECONDS)
    return drain + longest + FINISH_SECONDS


def refuse_cut(resolved: Mapping[str, Any], name: str) -> None:
    """Raise Refused when a backend would be killed before its longest answer is finished."""
    backend = resolved["services"]["backend"]
    least, grace = needed(backend.get("environment") or {}), seconds(backend["stop_grace_period"])
    if grace < least:
        raise Refused(
            f"A backend of {name} may need {least:g} s to finish its answers (DRAIN_SECONDS, "
            f"LLM_SECONDS and {FINISH_SECONDS:g} s), and would be killed after {grace:g} s: give "
            f"it a longer stop_grace_period in infra/compose/environments/{name}.yaml",
            next_command=f"invoke release --env {name} --plan",
        )
