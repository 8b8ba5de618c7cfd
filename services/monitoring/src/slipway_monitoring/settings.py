"""Settings: from environment variables or files in the secrets folder, checked once at the door."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from slipway_monitoring.errors import MonitoringError

SECRETS = Path("/run/secrets")

Level = Literal["minimal", "standard", "full"]


class Mail(BaseModel):
    """Where alerts are mailed, and by whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    sender: str
    to: str
    user: str = ""
    tls: bool = True


class Alerts(BaseModel):
    """What the environment's file says of alerts; webhooks are secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repeat_hours: int = 4
    mail: Mail | None = None


class Settings(BaseSettings):
    """Everything a container of monitoring can be told. Names are those of the variables."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    environment: str = "dev"
    domain: str = "localhost"
    monitoring: Level = "standard"
    backups: bool = Field(False, description="whether there are backups to watch")
    logs: bool = Field(False, description="whether there is a log store")
    alerts: Alerts = Field(default_factory=Alerts)

    secrets_directory: Path = SECRETS
    # In memory, and this container's alone.
    work_directory: Path = Path("/tmp/slipway-monitoring")  # noqa: S108  # nosec B108
    data_directory: Path = Path("/var/lib/slipway-monitoring")
    engine_socket: Path = Path("/run/docker.sock")

    monitor_password: str = ""
    probe_password: str = ""
    probe_username: str = "slipway-probe"
    probe_hosts: str = Field("door,edge", description="the first that answers is asked")
    probe_port: int = Field(8443, ge=1, le=65535)
    probe_seconds: float = Field(15.0, gt=0, description="from one question to the next")
    probe_limit_seconds: float = Field(10.0, gt=0, description="longest wait for an answer")

    console_password: str = ""
    prometheus_url: str = "http://prometheus:9090"
    alertmanager_url: str = "http://alertmanager:9093"
    logs_url: str = "http://logs:9428"

    host: str = "0.0.0.0"  # noqa: S104  # nosec B104 - inside a container
    port: int = Field(8080, ge=0, le=65535)

    def secret(self, name: str) -> Path | None:
        """Where one of the secret files is; None where this environment has none."""
        path = self.secrets_directory / name
        return path if path.is_file() else None


def load() -> Settings:
    """Read settings from the environment, then from files named like them in lower case.

    Raises MonitoringError with one sentence per wrong value.
    """
    directory = Path(os.environ.get("SECRETS_DIRECTORY", str(SECRETS)))
    try:
        return Settings(_secrets_dir=directory if directory.is_dir() else None)
    except ValidationError as error:
        complaints = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise MonitoringError(f"the settings are not usable: {complaints}") from None
