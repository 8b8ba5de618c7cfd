"""Which secrets there are, who makes them, and who may read which."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from slipway.config import members

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

# The `jwt_secret` that was replaced last; tokens signed with it stay good until they expire.
PREVIOUS_JWT = "jwt_secret_previous"

# Kept beside the others where Slipway made the certificate itself.
AUTHORITY = ("ca.crt", "ca.key")


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
        ("data_ca.crt",),
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
}


def generate_tier() -> dict[str, str]:
    """New random values for the roles that only a data tier with replicas has."""
    return {secret.name: secrets.token_urlsafe(32) for secret in TIER_PASSWORDS}


def generate() -> dict[str, str]:
    """New random values for every secret that is a password or a key of ours."""
    return {
        name: secrets.token_urlsafe(32)
        for name in ("postgres_password", "slipway_password", "jwt_secret", "admin_password")
    }


def files(
    consumer: str, values: Mapping[str, str], servers: Sequence[str] = (members.FIRST,)
) -> dict[str, str]:
    """The files a consumer finds in /run/secrets, made from the secrets' values.

    `servers` are the members of the data tier: clients are told all of them.
    """
    own = {name: values[name] for name in CONSUMERS[consumer].secrets}
    tier = {secret.name for secret in TIER}
    own |= {
        name: values[name]
        for name in CONSUMERS[consumer].optional
        if values.get(name) and (len(servers) > 1 or name not in tier)
    }
    if consumer in {"backend", "migrate"}:
        password = own.pop("slipway_password")
        own["database_url"] = _url("slipway", password, servers, "read-write")
    if "reader_password" in own and consumer == "backend":
        password = own.pop("reader_password")
        own["database_replica_url"] = _url("slipway_reader", password, servers, "prefer-standby")
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


def fingerprint(service: str, fingerprints: Mapping[str, str]) -> str:
    """What changes when a secret of `service` does; empty for a service without secrets."""
    used = sorted(
        name
        for consumer in CONSUMERS.values()
        if service in consumer.services
        for name in (*consumer.secrets, *(key.name for key in (*OPTIONAL, *TIER)))
        if name in consumer.secrets or (name in consumer.optional and name in fingerprints)
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
