"""What a member is told: its name, who the others are, and the environment's own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway_postgres.errors import MemberError

SECRETS = Path("/run/secrets")
PASSWORDS = {
    "postgres": "postgres_password",
    "slipway": "slipway_password",
    "slipway_replication": "replication_password",
    "slipway_rewind": "rewind_password",
    "slipway_reader": "reader_password",
    "slipway_monitor": "monitor_password",
    "slipway_backup": "backup_password",
}


@dataclass(frozen=True)
class Settings:
    """One member of a cluster; `given` are PostgreSQL settings that the environment states."""

    name: str
    synchronous: bool = True
    backups: bool = False
    secrets: Path = SECRETS
    given: Mapping[str, str] = field(default_factory=dict)

    def file(self, name: str) -> str:
        """Where one of the member's secret files is. Raises MemberError when it is missing."""
        path = self.secrets / name
        if not path.is_file():
            raise MemberError(
                f"the secret {path} is missing; mount the volume of secrets at {self.secrets}"
            )
        return str(path)

    def password(self, role: str) -> str:
        """The password of one of the database's roles. Raises MemberError when it is missing."""
        return Path(self.file(PASSWORDS[role])).read_text(encoding="utf-8").rstrip("\n")


def read(environment: Mapping[str, str], arguments: Sequence[str] = ()) -> Settings:
    """The settings in the container's environment and in the server's `-c name=value` arguments.

    Raises MemberError for what is missing or not understood.
    """
    name = environment.get("MEMBER", "")
    if not name:
        raise MemberError("MEMBER is not set: it names this member, such as postgres-2")
    secrets = Path(environment.get("SECRETS_DIRECTORY", str(SECRETS)))
    return Settings(
        name,
        synchronous=_switch(environment, "SYNCHRONOUS", "on"),
        backups=_switch(environment, "BACKUPS", "off"),
        secrets=secrets,
        given=parse(arguments),
    )


def _switch(environment: Mapping[str, str], name: str, default: str) -> bool:
    value = environment.get(name, default)
    if value not in {"on", "off"}:
        raise MemberError(f"{name} is {value!r}: it is on or off")
    return value == "on"


def plain(environment: Mapping[str, str]) -> Settings:
    """The settings of a plain server, which is no member of anything."""
    return Settings("", secrets=Path(environment.get("SECRETS_DIRECTORY", str(SECRETS))))


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """The settings in arguments as postgres takes them. Raises MemberError for any others."""
    found = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        word = rest.pop(0) if word == "-c" and rest else word.removeprefix("--")
        given, equals, value = word.partition("=")
        name = given.replace("-", "_")
        if not equals or not name.replace("_", "").replace(".", "").isalnum():
            raise MemberError(f"{word!r} is no setting: write -c name=value")
        found[name] = value
    return found
