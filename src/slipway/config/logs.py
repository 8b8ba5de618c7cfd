"""What an environment says of its central log store: for how long lines are kept, and how many."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from slipway.config.section import Section

#: The services, in the order in which they are started: who keeps lines before who brings them.
STORE = "logs"
COLLECTOR = "collector"
SERVICES = (STORE, COLLECTOR)
GIB = 1 << 30


class Logs(Section):
    """A central store of what every container writes; the older goes first, by either limit."""

    days: Annotated[int, Field(ge=1, le=3650)] = Field(description="days that lines are kept")
    gib: Annotated[int, Field(ge=1, le=10000)] = Field(
        description="how large the store may be on disk, in GiB; the oldest day goes first"
    )

    @property
    def bytes(self) -> int:
        """The same in bytes."""
        return self.gib * GIB
