"""The repositories that points are written to, as both tools are told of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from slipway_backup import keys
from slipway_backup.policy import Keep, Second
from slipway_backup.process import User
from slipway_backup.settings import Settings

FIRST = 1
SECOND = 2
CIPHER = "aes-256-cbc"


@dataclass(frozen=True)
class Repository:
    """One place that points are kept at, and how many."""

    number: int
    keep: Keep
    path: str
    second: Second | None = None

    @property
    def kind(self) -> str:
        """Where it is: `path` for a folder of this container's."""
        return self.second.kind if self.second else "path"

    @property
    def name(self) -> str:
        """What a person is told of it."""
        where = "" if self.second is None else f" ({self.kind})"
        return f"repository {self.number}{where}"

    @property
    def local(self) -> Path | None:
        """Its folder, where it is one."""
        return Path(self.path) if self.kind == "path" else None


def all_of(settings: Settings) -> tuple[Repository, ...]:
    """The repositories of an environment; the first is the one on this machine."""
    policy = settings.backup_policy
    first = Repository(FIRST, policy.keep, str(settings.repository_directory))
    if policy.second is None:
        return (first,)
    return (first, Repository(SECOND, policy.second.keep, policy.second.path, policy.second))


def pgbackrest(
    repository: Repository, settings: Settings, *, user: User | None = None
) -> dict[str, str]:
    """What pgBackRest is told of a repository, as its environment; it may run as another user."""
    options = {
        "path": f"{repository.path.rstrip('/')}/pgbackrest",
        "cipher-type": CIPHER,
        "cipher-pass": keys.database(settings.require_key()),
        "bundle": "y",
        "block": "y",
        "retention-full": str(repository.keep.full),
        "retention-diff": str(repository.keep.differential),
    }
    if repository.second is not None and repository.kind == "s3":
        options |= {
            "type": "s3",
            "s3-bucket": repository.second.bucket,
            "s3-endpoint": repository.second.endpoint.removeprefix("https://"),
            "s3-region": repository.second.region,
            "s3-uri-style": repository.second.uri_style,
            "s3-key": settings.second_access_key,
            "s3-key-secret": settings.second_secret_key,
        }
        authority = settings.secrets_directory / "second_ca.crt"
        if authority.is_file():
            options["storage-ca-file"] = str(_readable(authority, user))
    if repository.second is not None and repository.kind == "sftp":
        options |= {
            "type": "sftp",
            "sftp-host": repository.second.host,
            "sftp-host-port": str(repository.second.port),
            "sftp-host-user": repository.second.user,
            "sftp-host-key-hash-type": "sha256",
            "sftp-host-key-check-type": "fingerprint",
            "sftp-host-fingerprint": repository.second.host_fingerprint,
            "sftp-private-key-file": str(_readable(settings.secret("second_key"), user)),
        }
    prefix = f"PGBACKREST_REPO{repository.number}_"
    return {
        prefix + name.upper().replace("-", "_"): value for name, value in options.items() if value
    }


def _readable(secret: Path, user: User | None) -> Path:
    """A file of a secret that `user` can read: the volume's is the service's alone."""
    if user is None or os.geteuid() != 0:
        return secret
    folder = Path(f"/tmp/slipway-secrets-{user.user}")  # noqa: S108  # nosec B108
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / secret.name
    if not copy.exists():
        copy.write_bytes(secret.read_bytes())
        copy.chmod(0o400)
        os.chown(copy, user.user, user.group)
        os.chown(folder, user.user, user.group)
    return copy


def restic(repository: Repository, settings: Settings) -> dict[str, str]:
    """What restic is told of a repository, as its environment."""
    told = {"RESTIC_PASSWORD": keys.files(settings.require_key()), "RESTIC_PROGRESS_FPS": "1"}
    path = f"{repository.path.rstrip('/')}/restic"
    second = repository.second
    if second is not None and repository.kind == "s3":
        endpoint = second.endpoint.removeprefix("https://")
        told["RESTIC_REPOSITORY"] = f"s3:https://{endpoint}/{second.bucket}{path}"
        told["AWS_ACCESS_KEY_ID"] = settings.second_access_key
        told["AWS_SECRET_ACCESS_KEY"] = settings.second_secret_key
        told["AWS_DEFAULT_REGION"] = second.region
    elif second is not None and repository.kind == "sftp":
        told["RESTIC_REPOSITORY"] = f"sftp://{second.user}@{second.host}:{second.port}/{path}"
    else:
        told["RESTIC_REPOSITORY"] = path
    return told


def restic_options(repository: Repository, settings: Settings) -> tuple[str, ...]:
    """The options of every call of restic for a repository."""
    words = ["--no-cache"] if repository.local else []
    authority = settings.secrets_directory / "second_ca.crt"
    if repository.kind == "s3" and authority.is_file():
        words += ["--cacert", str(authority)]
    if repository.kind == "sftp":
        known = settings.secrets_directory / "second_known_hosts"
        words += [
            "--option",
            f"sftp.args=-i {settings.secret('second_key')} -o UserKnownHostsFile={known}"
            " -o StrictHostKeyChecking=yes -o BatchMode=yes",
        ]
    return tuple(words)
