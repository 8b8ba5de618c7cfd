"""Which secrets there are, who makes them, and who may read which."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

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
        (*(secret.name for secret in OPTIONAL), PREVIOUS_JWT),
    ),
    "migrate": Consumer(10001, ("migrate",), ("slipway_password", "jwt_secret", "admin_password")),
    "postgres": Consumer(10003, ("postgres",), ("postgres_password", "slipway_password")),
    # NGINX reads a new certificate by itself, so a change of it must not replace the edge.
    "edge": Consumer(10002, (), ("tls.crt", "tls.key")),
}


def generate() -> dict[str, str]:
    """New random values for every secret that is a password or a key of ours."""
    return {
        name: secrets.token_urlsafe(32)
        for name in ("postgres_password", "slipway_password", "jwt_secret", "admin_password")
    }


def files(consumer: str, values: Mapping[str, str]) -> dict[str, str]:
    """The files a consumer finds in /run/secrets, made from the secrets' values."""
    own = {name: values[name] for name in CONSUMERS[consumer].secrets}
    if consumer in {"backend", "migrate"}:
        password = quote(own.pop("slipway_password"), safe="")
        own["database_url"] = f"postgresql://slipway:{password}@postgres:5432/slipway"
    own |= {name: values[name] for name in CONSUMERS[consumer].optional if values.get(name)}
    return own


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
        for name in (*consumer.secrets, *(key.name for key in OPTIONAL))
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
