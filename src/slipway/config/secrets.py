"""Which secrets there are, who makes them, and who may read which."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from slipway.config import backup, members, monitoring

ADMIN = "admin"

# Settings whose value may be a secret, whatever a person's own overlay calls them.
_HIDDEN = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|DSN|(^|_)(KEY|KEYS)$", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/:@\s]*:)[^/@\s]+@")


@dataclass(frozen=True)
class Secret:
    """One secret of an environment: its name and what it is for."""

    name: str
    purpose: str


SECRETS = (
    Secret("postgres_password", "superuser of the database, for repairs by hand"),
    Secret("slipway_password", "the database role of the backend and the worker"),
    Secret("jwt_secret", "signs login tokens; at least 32 characters"),
    Secret("admin_password", f"the first login of the user {ADMIN!r}; at least 12 characters"),
    Secret("tls.crt", "certificate chain of the edge, in PEM"),
    Secret("tls.key", "private key of the edge, in PEM"),
)

# Wanted only where an environment's file names the server that they are for.
OPTIONAL = (
    Secret("llm_api_key", "the language model's server, if it wants a key"),
    Secret("embedding_api_key", "the embedding model's server, if it wants a key"),
    Secret("rerank_api_key", "the reranker, if it wants a key"),
    Secret("oidc_client_secret", "the identity provider, if it gave this service a secret"),
)

# Put there by a person where backups are on: the key may come from an earlier life of the
# environment, its escrowed copy is what drills try, and the second repository is somebody else's.
BACKUP_SUPPLIED = (
    Secret("backup_key", "encrypts every backup; at least 32 characters; made when it is missing"),
    Secret("backup_key_escrow", "the copy of backup_key that is kept elsewhere, for drills to try"),
    Secret("second_access_key", "the second repository's access key, where it is a bucket"),
    Secret("second_secret_key", "the secret that goes with that access key"),
    Secret("second_ca.crt", "the authority of the bucket's server, if hosts do not trust it"),
    Secret("second_key", "the private key to log in with, where it is an SFTP server"),
    Secret("second_known_hosts", "that server's host keys, as ssh-keyscan prints them"),
)

# Made by the release where a data tier has replicas, also where a person supplies the others: they
# are for its parts among themselves.
TIER_PASSWORDS = (
    Secret("replication_password", "the database role with which a replica copies the primary"),
    Secret("rewind_password", "the database role with which an old primary is taken back"),
    Secret("reader_password", "the database role of reads from replicas; it can change nothing"),
    Secret("monitor_password", "the database role that reads figures"),
    Secret("backup_password", "the database role that takes backups"),
)
TIER_CERTIFICATES = (
    Secret("data_ca.crt", "authority of the data tier, which its clients trust"),
    Secret("data.crt", "certificate of the data tier's members"),
    Secret("data.key", "private key of the data tier's members"),
    Secret("etcd.crt", "certificate of etcd"),
    Secret("etcd.key", "private key of etcd"),
)
TIER = (*TIER_PASSWORDS, *TIER_CERTIFICATES)

# Made by the release where an environment is backed up; the password of the database's role and the
# certificates of the server it is taken from are those of a data tier.
BACKUP_CERTIFICATES = (
    Secret("backup.crt", "certificate of the backup service"),
    Secret("backup.key", "private key of the backup service"),
)
BACKUP_MADE = (
    BACKUP_SUPPLIED[0],
    Secret("backup_token", "what whoever asks the backup service for a run has to show"),
)
BACKUP = (*BACKUP_SUPPLIED, BACKUP_MADE[1], *BACKUP_CERTIFICATES)
# Put there by a person who wants to be told: each lets whoever has it speak in somebody's name.
ALERT_SUPPLIED = (
    Secret("alert_webhook_url", "where alerts are posted as Alertmanager's JSON"),
    Secret("alert_slack_url", "a webhook such as Slack's, which takes its messages"),
    Secret("alert_dead_man_url", "is posted to every minute; silence there means trouble here"),
    Secret("alert_mail_password", "the mail server, if it wants a login"),
)
CONSOLE = Secret(
    "console_password",
    "the login of the console at /ops; at least 12 characters; made when it is missing",
)
MONITORING_SUPPLIED = (*ALERT_SUPPLIED, CONSOLE)
MONITORING_MADE = (
    Secret("probe_password", "the user that asks a known question all the time"),
    CONSOLE,
)
MONITORING = (*ALERT_SUPPLIED, *MONITORING_MADE)
# Every secret that only some environments have.
KNOWN = (*OPTIONAL, *TIER, *BACKUP, *MONITORING)
# The password of the role that reads figures is a data tier's, and a watched plain server's.
MONITOR_PASSWORD = "monitor_password"  # noqa: S105  # nosec B105

# What a plain server needs of a data tier's to be backed up.
PLAIN = ("backup_password", "data_ca.crt", "data.crt", "data.key")

# The `jwt_secret` that was replaced last; tokens signed with it stay good until they expire.
PREVIOUS_JWT = "jwt_secret_previous"

# Kept beside the others where Slipway made the certificate itself.
AUTHORITY = ("ca.crt", "ca.key")


# Who of those that watch is given secrets.
WATCHERS = ("monitoring", monitoring.ALERTMANAGER, monitoring.CONSOLE)


@dataclass(frozen=True)
class Parts:
    """What decides which secrets there are: the database's servers, and what is kept beside them.

    `backups`: the database is backed up; `watched`: the environment has monitoring.
    """

    servers: tuple[str, ...] = (members.FIRST,)
    backups: bool = False
    watched: bool = False

    @property
    def replicated(self) -> bool:
        """Whether the database has replicas."""
        return len(self.servers) > 1

    @property
    def made(self) -> tuple[str, ...]:
        """What a release makes for these parts, whoever supplies the other secrets."""
        made = [secret.name for secret in TIER] if self.replicated else []
        if self.backups:
            own = (secret.name for secret in (*BACKUP_MADE, *BACKUP_CERTIFICATES))
            made += [*PLAIN, *own]
        if self.watched:
            made += [MONITOR_PASSWORD, *(secret.name for secret in MONITORING_MADE)]
        return tuple(dict.fromkeys(made))

    @property
    def encrypted(self) -> bool:
        """Whether the database's servers have certificates."""
        return self.replicated or self.backups

    def knows(self, consumer: str, name: str) -> bool:
        """Whether a secret that only some environments have is this consumer's in this one."""
        if name in {secret.name for secret in MONITORING} or consumer in WATCHERS:
            return self.watched and (name != "data_ca.crt" or self.encrypted)
        if name == MONITOR_PASSWORD and self.watched:
            return True
        if name in {secret.name for secret in BACKUP}:
            return self.backups
        if name not in {secret.name for secret in TIER} or self.replicated:
            return True
        return self.backups and consumer in {members.FIRST, backup.SERVICE} and name in PLAIN


@dataclass(frozen=True)
class Consumer:
    """A container that reads secrets: its numeric user, the services it is, the secrets it uses."""

    user: int
    services: tuple[str, ...]
    secrets: tuple[str, ...]
    optional: tuple[str, ...] = ()


CONSUMERS = {
    "backend": Consumer(
        10001,
        ("backend", "worker"),
        ("slipway_password", "jwt_secret"),
        (*(secret.name for secret in OPTIONAL), PREVIOUS_JWT, "data_ca.crt", "reader_password"),
    ),
    "migrate": Consumer(
        10001,
        ("migrate",),
        ("slipway_password", "jwt_secret", "admin_password"),
        ("data_ca.crt", "probe_password"),
    ),
    "postgres": Consumer(
        10003,
        members.MEMBERS,
        ("postgres_password", "slipway_password"),
        (*(secret.name for secret in TIER_PASSWORDS), "data_ca.crt", "data.crt", "data.key"),
    ),
    # NGINX reads a new certificate by itself, so a change of it must not replace the edge.
    "edge": Consumer(10002, (), ("tls.crt", "tls.key")),
    "etcd": Consumer(10005, (members.STORE,), (), ("data_ca.crt", "etcd.crt", "etcd.key")),
    backup.SERVICE: Consumer(
        backup.USER,
        (backup.SERVICE,),
        (),
        ("backup_password", "data_ca.crt", *(secret.name for secret in BACKUP)),
    ),
    # The probe reads a new certificate by itself, as the edge does.
    "monitoring": Consumer(
        monitoring.USER,
        ("figures-database", monitoring.PROMETHEUS, "probe"),
        (),
        (MONITOR_PASSWORD, "probe_password", "data_ca.crt", "ca.crt", "tls.crt"),
    ),
    monitoring.ALERTMANAGER: Consumer(
        monitoring.USER,
        (monitoring.ALERTMANAGER,),
        (),
        tuple(secret.name for secret in ALERT_SUPPLIED),
    ),
    monitoring.CONSOLE: Consumer(monitoring.USER, (monitoring.CONSOLE,), (), ("console_password",)),
}


def generate_made(parts: Parts) -> dict[str, str]:
    """New random values for what these parts have among themselves, but for certificates."""
    random = {secret.name for secret in (*TIER_PASSWORDS, *BACKUP_MADE, *MONITORING_MADE)}
    return {name: secrets.token_urlsafe(32) for name in parts.made if name in random}


def generate() -> dict[str, str]:
    """New random values for every secret that is a password or a key of ours."""
    return {
        name: secrets.token_urlsafe(32)
        for name in ("postgres_password", "slipway_password", "jwt_secret", "admin_password")
    }


def files(consumer: str, values: Mapping[str, str], parts: Parts | None = None) -> dict[str, str]:
    """The files a consumer finds in /run/secrets, made from the secrets' values.

    Clients are told every server among the `parts`; without any there is one plain server.
    """
    parts = parts or Parts()
    own = {name: values[name] for name in CONSUMERS[consumer].secrets}
    own |= {
        name: values[name]
        for name in CONSUMERS[consumer].optional
        if values.get(name) and parts.knows(consumer, name)
    }
    if consumer in {"backend", "migrate"}:
        password = own.pop("slipway_password")
        own["database_url"] = _url("slipway", password, parts.servers, "read-write")
    if "reader_password" in own and consumer == "backend":
        password = own.pop("reader_password")
        url = _url("slipway_reader", password, parts.servers, "prefer-standby")
        own["database_replica_url"] = url
    return own


def _url(role: str, password: str, servers: Sequence[str], sort: str) -> str:
    """A libpq connection string to that sort of server among the members."""
    hosts = ",".join(f"{server}:5432" for server in servers)
    url = f"postgresql://{role}:{quote(password, safe='')}@{hosts}/slipway"
    if len(servers) == 1:
        return url
    wanted = {
        "target_session_attrs": sort,
        "sslmode": "verify-full",
        "sslrootcert": "/run/secrets/data_ca.crt",
    }
    if sort == "prefer-standby":
        wanted["load_balance_hosts"] = "random"
    return f"{url}?{urlencode(wanted, safe='/')}"


def replacing(name: str, value: str, before: Mapping[str, str]) -> dict[str, str]:
    """What to keep when a secret is replaced: for the key that signs tokens the earlier one too."""
    earlier = before.get(name)
    if name != "jwt_secret" or earlier in (None, value):
        return {name: value}
    return {name: value, PREVIOUS_JWT: str(earlier)}


def fingerprint(service: str, fingerprints: Mapping[str, str], parts: Parts | None = None) -> str:
    """What changes when a secret of `service` does; empty for a service without secrets."""
    parts = parts or Parts()
    used = sorted(
        name
        for consumer, reads in CONSUMERS.items()
        if service in reads.services
        for name in (*reads.secrets, *(key.name for key in KNOWN))
        if name in reads.secrets
        or (name in reads.optional and name in fingerprints and parts.knows(consumer, name))
    )
    return ",".join(f"{name}={fingerprints.get(name, '')}" for name in used)


def hidden(name: str) -> bool:
    """Whether the value of a setting of this name is kept from every output."""
    return _HIDDEN.search(name) is not None


def without_password(value: str) -> str:
    """A value that may hold addresses, without the passwords in them."""
    return _PASSWORD.sub(r"\1(hidden)@", value)


def complaints(values: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with supplied values, one sentence each."""
    least = {  # nosec B105
        "jwt_secret": 32,
        "admin_password": 12,
        "postgres_password": 12,
        "slipway_password": 12,
        "backup_key": 32,
        "backup_key_escrow": 32,
        "console_password": 12,
    }
    short = [
        f"{name} has {len(values[name])} characters, {length} are needed"
        for name, length in least.items()
        if name in values and len(values[name]) < length
    ]
    not_pem = [
        f"{name} is not PEM: it should begin with -----BEGIN {kind}"
        for name, kind in (("tls.crt", "CERTIFICATE-----"), ("tls.key", ""))
        if name in values and not values[name].lstrip().startswith(f"-----BEGIN {kind}")
    ]
    return (*short, *not_pem)
