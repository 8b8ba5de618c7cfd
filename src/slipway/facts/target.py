"""Another host than this one, as a container of the toolbox sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from slipway.commands import toolbox
from slipway.facts import sockets
from slipway.run import printed


@dataclass(frozen=True)
class TargetFacts:
    """Free bytes on the engine's disk, and the TCP ports that something listens on."""

    disk_free: int
    listening: frozenset[int]


def read(image: str) -> TargetFacts:
    """Look at the host of the engine in use, with the toolbox `image`."""
    answer = json.loads(printed(toolbox.host(image), timeout=300))
    return TargetFacts(answer["disk_free"], sockets.listening(answer["sockets"]))
