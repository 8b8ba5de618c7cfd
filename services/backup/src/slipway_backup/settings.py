"""Settings: from environment variables or files in the secrets folder, checked once at the door."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import IO

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from slipway_backup.errors import Refused
from slipway_backup.policy import Keeping, Policy

SECRETS = Path("/run/secrets")
HOME = Path("/var/lib/slipway-backup")
ROLE = "slipway_backup"
STANZA = "slipway"
#: Where the database's data is in its own containers.
DATABASE_DATA = Path("/var/lib/postgresql/17")
BINARIES = Path("/usr/lib/postgresql/17/bin")


class Settings(BaseSettings):
    """Everything the service can be told. Names are the environment variables' names."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_hosts: str = Field("postgres", description="the members, separated by commas")
    database_port: int = Field(5432, ge=1, le=65535)
    database_name: str = "slipway"
    door_port: int = Field(8432, ge=1, le=65535, description="pgBackRest's server on each member")
    backup_policy: Policy = Field(default_factory=Policy)

    secrets_directory: Path = SECRETS
    repository_directory: Path = HOME / "repository"
    work_directory: Path = Field(
        HOME / "repository" / "work", description="spool, history and scratch; must outlive a start"
    )
    files_directory: Path = Path("/source/files")
    state_directory: Path = Path("/source/state")

    keeper_directory: Path = HOME / "keeper"
    landing_directory: Path = Field(Path("/landing"), description="written to by the environment")
    keeper_policy: Keeping = Field(default_factory=Keeping)
    keeper_webhook_url: str = Field("", description="told of problems, in Slack's form")

    backup_password: str = ""
    backup_key: str = ""
    backup_key_escrow: str = Field("", description="the copy of the key that drills work with")
    backup_token: str = ""
    second_access_key: str = ""
    second_secret_key: str = ""

    environment: str = "dev"
    log_level: str = "info"
    host: str = "0.0.0.0"  # noqa: S104  # nosec B104 - inside a container
    port: int = Field(8080, ge=0, le=65535)
    processes: int = Field(2, ge=1, le=64, description="copied and compressed at once")
    switch_seconds: float = Field(60.0, gt=0, description="longest time a write stays unarchived")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The members of the database."""
        return tuple(name.strip() for name in self.database_hosts.split(",") if name.strip())

    @property
    def spool(self) -> Path:
        """Where the log arrives before it is archived."""
        return self.work_directory / "spool"

    def queue(self, number: int) -> Path:
        """Where files of the log wait for the repository of this number."""
        return self.work_directory / "queue" / str(number)

    @property
    def reading(self) -> Path:
        """The lock of who reads a repository, beside whom nothing is removed from one.

        It lies beside the repository, which another environment's restore reads as well.
        """
        return self.repository_directory / "reading.lock"

    def making(self, number: int) -> Path:
        """The lock of who makes the repository of this number, where there is none yet."""
        return self.work_directory / f"make-{number}.lock"

    @property
    def scratch(self) -> Path:
        """Where a drill restores to."""
        return self.work_directory / "scratch"

    def secret(self, name: str) -> Path:
        """Where one of the secret files is. Raises Refused when it is missing."""
        path = self.secrets_directory / name
        if not path.is_file():
            raise Refused(f"the secret {path} is missing", "mount the volume of secrets there")
        return path

    def require_key(self) -> str:
        """The key of the repositories. Raises Refused when there is none."""
        if not self.backup_key:
            raise Refused(
                f"the secret {self.secrets_directory / 'backup_key'} is missing",
                "mount the volume of secrets there",
            )
        return self.backup_key

    def with_key(self, key: str) -> Settings:
        """The same settings with another key."""
        return self.model_copy(update={"backup_key": key})


def take(given: IO[str]) -> None:
    """Put secrets that come as one JSON object where `load` finds them, for this process alone.

    So a host that has no volume of secrets yet shows none of them to anybody. Raises Refused for
    anything else than texts by their names.
    """
    try:
        values = json.load(given)
        texts = {str(name): str(value) for name, value in values.items()}
    except (AttributeError, ValueError):
        raise Refused("the secrets are no JSON object", "give texts by their names") from None
    folder = Path(tempfile.mkdtemp(prefix="slipway-secrets-"))
    for name, text in texts.items():
        if Path(name).name != name:
            raise Refused(f"{name!r} is no name of a secret", "give texts by their names")
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text, encoding="utf-8")
    os.environ["SECRETS_DIRECTORY"] = str(folder)


def load() -> Settings:
    """Read settings from the environment, then from files named like them in lower case.

    Raises Refused with one sentence per wrong value.
    """
    directory = Path(os.environ.get("SECRETS_DIRECTORY", str(SECRETS)))
    try:
        return Settings(_secrets_dir=directory if directory.is_dir() else None)
    except ValidationError as error:
        complaints = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise Refused(f"the settings are not usable: {complaints}") from None
