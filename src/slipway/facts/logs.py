"""What containers wrote, line by line, as the engine keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import docker

from slipway.facts.engine import Container


@dataclass(frozen=True)
class Line:
    """One line: when the engine received it, who wrote it, and what."""

    moment: str
    instance: str
    service: str
    text: str

    @cached_property
    def fields(self) -> dict[str, Any] | None:
        """What it says, where it is one JSON object."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


def read(
    engine: docker.DockerClient, container: Container, instance: str, since: float | None, tail: str
) -> Iterator[Line]:
    """The lines of a container, the oldest first: since a moment in seconds, at most `tail`."""
    handle = engine.containers.get(container.id)
    most: Literal["all"] | int = "all" if tail == "all" else int(tail)
    # Part by part, because all of it may be more than fits; to its end, and not as it comes.
    parts = handle.logs(timestamps=True, stream=True, follow=False, tail=most, since=since)
    for part in _lines(parts):
        moment, _, text = part.partition(" ")
        yield Line(moment, instance, container.service, text)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines: a chunk ends wherever the engine's buffer did."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole if line)
    if rest:
        yield rest.decode(errors="replace")
