"""Maintenance: callers are answered 503 with a message until it is taken back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from slipway_edge.errors import EdgeError, Refused
from slipway_edge.store import read_object, replace_object

MESSAGE_CHARACTERS = 500
PASS_BYTES = 16


@dataclass(frozen=True)
class Maintenance:
    """What callers are told, since when (whole seconds since the epoch), and what lets in anyway.

    A request whose header ``X-Slipway-Maintenance`` is ``pass_`` reaches the backends.
    """

    message: str
    since: int
    pass_: str

    def document(self) -> dict[str, object]:
        """As NGINX and the file on disk have it."""
        fields = asdict(self)
        return {"on": True, **{name.rstrip("_"): value for name, value in fields.items()}}


def begin(message: str, before: Maintenance | None) -> Maintenance:
    """Maintenance from now on; one that is on already keeps its time and its pass.

    Raises Refused when the message is too long for a page.
    """
    if len(message) > MESSAGE_CHARACTERS:
        raise Refused(
            f"the message has {len(message)} characters; at most {MESSAGE_CHARACTERS} are shown"
        )
    if before is not None:
        return Maintenance(message, before.since, before.pass_)
    return Maintenance(message, int(time.time()), secrets.token_hex(PASS_BYTES))


def load(path: Path) -> Maintenance | None:
    """What is on according to the file; None when maintenance is off.

    Raises EdgeError when the file cannot be understood.
    """
    try:
        value = read_object(path)
    except (ValueError, TypeError) as error:
        raise EdgeError(f"{path} cannot be understood ({error})") from error
    if value is None or value.get("on") is not True:
        return None
    return parse(value)


def parse(value: Mapping[str, object]) -> Maintenance:
    """Maintenance from its document; raises EdgeError when that cannot be understood."""
    try:
        return Maintenance(str(value["message"]), int(str(value["since"])), str(value["pass"]))
    except (KeyError, ValueError) as error:
        raise EdgeError(
            f"the maintenance state cannot be understood ({error!r}); "
            "put it right with: slipway-edge maintenance on or off"
        ) from error


def save(path: Path, state: Maintenance | None) -> None:
    """Keep the state so that a restart of the edge finds it; raises EdgeError when it cannot."""
    replace_object(path, {"on": False} if state is None else state.document())
