"""What an environment says of its backups: none, or when, for how long, and where else."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from slipway.config import cron
from slipway.config.section import Section

#: What the one platform service of backups is called, and the user that it is.
SERVICE = "backup"
USER = 10006
#: A release that changes the schema wants a recovery point that is not older.
FRESH_SECONDS = 3600.0


def _cron(value: str) -> str:
    if said := cron.complaint(value):
        raise ValueError(said)
    return value


Cron = Annotated[str, AfterValidator(_cron)]
Kept = Annotated[int, Field(ge=1, le=1000)]


class Keep(Section):
    """How many backups a repository keeps; recovery points go with the backup that they need."""

    full: Kept = Field(description="full backups, with everything that rests on them")
    differential: Kept = Field(description="differential backups")


class Bucket(Section):
    """A second repository in a bucket of an S3-compatible store."""

    kind: Literal["s3"] = Field(description="what the second repository is: `s3` or `sftp`")
    endpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:\d+)?$")] = Field(
        description="host and port of the store, without a scheme: it is spoken to over TLS"
    )
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = Field(
        description="the store's region, as it calls it"
    )
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = Field(
        description="the bucket, which must be there"
    )
    uri_style: Literal["host", "path"] = Field(
        description="whether the bucket's name is part of the host's, or of the path"
    )
    path: Annotated[str, Field(pattern=r"^/[\w./-]*$")] = Field(
        description="the folder in it, from its root"
    )
    keep: Keep


class Server(Section):
    """A second repository on another machine, reached over SFTP."""

    kind: Literal["sftp"] = Field(description="what the second repository is: `s3` or `sftp`")
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")] = Field(
        description="the machine with the SSH server"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(description="the SSH server's port")
    host_fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the server's host key, in hexadecimal"
    )
    user: Annotated[str, Field(pattern=r"^[\w.-]+$")] = Field(description="who logs in there")
    path: Annotated[str, Field(pattern=r"^/[\w./-]*$")] = Field(
        description="the folder there, from its root"
    )
    keep: Keep


class Unscheduled(Section):
    """Nothing is backed up."""

    policy: Literal["none"] = Field(description="`none`: no backups; `scheduled`: as follows")

    @property
    def on(self) -> bool:
        """Whether the environment is backed up."""
        return False

    @property
    def told(self) -> str:
        """What the backup service is told: nothing, where there is none."""
        return ""


class Scheduled(Section):
    """Recovery points at set times, and drills that prove them."""

    policy: Literal["scheduled"] = Field(description="`none`: no backups; `scheduled`: as follows")
    full: Cron = Field(description="when everything is copied anew")
    differential: Cron = Field(description="when all that changed since the last full one is")
    incremental: Cron = Field(description="when all that changed since the last one is")
    drill: Cron = Field(description="when the newest recovery point is restored and proved")
    keep: Keep
    second: Annotated[Bucket | Server, Field(discriminator="kind")] | None = Field(
        description="a second repository off the machine, or null"
    )

    @property
    def on(self) -> bool:
        """Whether the environment is backed up."""
        return True

    @property
    def told(self) -> str:
        """What the backup service is told of it, as one JSON object."""
        return json.dumps(self.model_dump(exclude={"policy"}), sort_keys=True)


Backup = Annotated[Unscheduled | Scheduled, Field(discriminator="policy")]
