"""The kinds of steps that releases and restores are made of, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of steps, in the order in which they can appear; those of a restore come last."""

    NETWORK = "network"
    VOLUME = "volume"
    SECRET = "secret"  # noqa: S105  # nosec B105
    PLATFORM = "platform"
    MEMBER = "member"
    SWITCHOVER = "switchover"
    DISMISS = "dismiss"
    BESIDE = "beside"
    HAND_OVER = "hand-over"
    LEAVE = "leave"
    DISCARD = "discard"
    POINT = "point"
    MIGRATE = "migrate"
    START = "start"
    PROVE = "prove"
    SWITCH = "switch"
    DRAIN = "drain"
    SOAK = "soak"
    RETIRE = "retire"
    CLOSE = "close"
    STOP = "stop"
    ADOPT = "adopt"
    STATE = "state"
    RESTORE = "restore"
    ASIDE = "aside"
    OPEN = "open"


PHASES = {
    Kind.NETWORK: "network {subject}",
    Kind.VOLUME: "volume {subject}",
    Kind.SECRET: "secrets",
    Kind.PLATFORM: "platform: {subject}",
    Kind.MEMBER: "data tier: {subject}",
    Kind.SWITCHOVER: "switch the writes over from {subject}",
    Kind.DISMISS: "dismiss {subject}",
    Kind.BESIDE: "start {subject} beside the edge",
    Kind.HAND_OVER: "hand over to {subject}",
    Kind.LEAVE: "drain and remove {subject}",
    Kind.DISCARD: "discard {subject}",
    Kind.POINT: "take a {subject}",
    Kind.MIGRATE: "migrate {subject}",
    Kind.START: "start {subject}, until healthy",
    Kind.PROVE: "prove {subject}",
    Kind.SWITCH: "switch {subject}",
    Kind.DRAIN: "drain {subject}",
    Kind.SOAK: "soak {subject}",
    Kind.RETIRE: "retire {subject}",
    Kind.CLOSE: "turn callers away",
    Kind.STOP: "stop {subject}",
    Kind.ADOPT: "copy the {subject}",
    Kind.STATE: "restore {subject}",
    Kind.RESTORE: "restore {subject}",
    Kind.ASIDE: "remove {subject}",
    Kind.OPEN: "let callers in",
}

# Made before the lease is taken, because the lease is kept in one of the volumes.
GROUND = (Kind.NETWORK, Kind.VOLUME)


@dataclass(frozen=True)
class Step:
    """One step: what kind, on what, and why, in words for the person who reads the plan."""

    kind: Kind
    subject: str
    reason: str
    generation: int | None = None
    recreate: bool = False

    def __str__(self) -> str:
        what = f"{self.kind:<9} {self.subject}"
        return f"{what:<42} {self.reason}".rstrip()

    @property
    def what(self) -> tuple[Kind, str, int | None, bool]:
        """The step without its reason."""
        return self.kind, self.subject, self.generation, self.recreate

    @property
    def phase(self) -> str:
        """What the step is called while it is done, and in the timings of the ledger."""
        return PHASES[self.kind].format(subject=self.subject)
