"""What containers wrote, line by line, as the engine keeps it or the central store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import docker

from slipway.commands import logs as commands
from slipway.facts.engine import Container
from slipway.run import run

#: More than the store itself gives a question.
SEARCH_SECONDS = 45


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

    @property
    def begun(self) -> str:
        """When what it tells of began: a request is told of at its end, with how long it took."""
        try:
            seconds = float((self.fields or {}).get("seconds") or 0)
            # The engine's moments have nine digits of a second, more than are known here.
            ended = datetime.fromisoformat(self.moment[:26].rstrip("Z"))
        except (TypeError, ValueError):
            return self.moment
        return (ended - timedelta(seconds=seconds)).isoformat(timespec="microseconds")


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


def search(container: str, wanted: Mapping[str, str]) -> list[Line]:
    """The lines that the store in a container finds, the oldest first.

    Raises CommandFailed when it refuses or does not answer.
    """
    found = run(commands.search(container), input=json.dumps(wanted), timeout=SEARCH_SECONDS)
    return sorted(map(_kept, found.output.splitlines()), key=lambda line: line.moment)


def _kept(line: str) -> Line:
    told = json.loads(line)
    first = {"level": told.get("level", ""), "event": told.get("_msg", "")}
    rest = {name: each for name, each in told.items() if not name.startswith("_")}
    instance = rest.pop("instance", "")
    # As the store sees a line when it looks for a text in it.
    text = json.dumps(first | rest, ensure_ascii=False, separators=(",", ":"))
    return Line(told["_time"], instance, rest.get("service", ""), text)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines: a chunk ends wherever the engine's buffer did."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole if line)
    if rest:
        yield rest.decode(errors="replace")
