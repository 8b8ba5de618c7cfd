"""What an environment says of its monitoring: how much of it, and whom it tells."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field

from slipway.config.section import Section

Level = Literal["none", "minimal", "standard", "full"]

#: The user that all of monitoring is, but for the one container that asks the engine.
USER = 10007
#: The services that watch, in the order in which they are started: what is asked before who asks.
PROMETHEUS = "prometheus"
ALERTMANAGER = "alertmanager"
CONSOLE = "console"
SERVICES = (
    "figures-host",
    "figures-database",
    "figures-engine",
    ALERTMANAGER,
    PROMETHEUS,
    "probe",
    CONSOLE,
)
#: What the services themselves count where nobody watches: the least.
UNWATCHED = "minimal"


class Mail(Section):
    """Alerts by mail; the password, where the server wants one, is the secret of that name."""

    server: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$")] = Field(
        description="host and port of the site's mail server"
    )
    sender: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] = Field(
        description="the address that alerts come from"
    )
    to: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] = Field(
        description="the address that alerts go to"
    )
    user: str = Field(description="who logs in at the mail server, or an empty word")
    tls: bool = Field(description="whether the mail server must speak TLS")


class Alerts(Section):
    """Whom alerts are sent to; the addresses of webhooks are secrets, because they let people in.

    `invoke secrets.put` takes them: `alert_webhook_url`, `alert_slack_url`, `alert_dead_man_url`.
    """

    repeat_hours: Annotated[int, Field(ge=1, le=168)] = Field(
        description="how often an alert that stays is told again, in hours"
    )
    mail: Mail | None = Field(description="alerts by mail, or null")

    @property
    def told(self) -> str:
        """What Alertmanager's service is told of it, as one JSON object."""
        return json.dumps(self.model_dump(), sort_keys=True)
