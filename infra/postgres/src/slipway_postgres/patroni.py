"""The configuration of Patroni for one member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway_postgres.settings import Settings
from slipway_postgres.tuning import CONNECTIONS, tune

DATA = "/var/lib/postgresql/17"
SOCKETS = "/run/postgresql"
API_PORT = 8008
# What this container was started with, for whoever asks the running member to settle on it.
SHARED_FILE = Path(SOCKETS) / "shared.json"

# Settings that all members must agree on, so Patroni keeps them in etcd.
SHARED = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_replication_slots",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "wal_level",
    "wal_keep_size",
    "wal_log_hints",
    "track_commit_timestamp",
)

# Whoever runs as the server's user in this container may be the role that takes backups.
IDENT = ("slipway postgres slipway_backup",)
# What the log of backups was read up to. Every member keeps it, so that it outlives a switchover.
BACKUP_SLOT = "slipway_backup"

HBA = (
    # Inside the container the operating system's user is proof enough.
    "local all postgres peer",
    # The door of backups acts as its own role.
    "local all slipway_backup peer map=slipway",
    # Members show a certificate of the data tier's as well as their password.
    "hostssl replication slipway_replication all scram-sha-256 clientcert=verify-ca",
    "hostssl postgres slipway_rewind all scram-sha-256 clientcert=verify-ca",
    "hostssl replication slipway_backup all scram-sha-256",
    "hostssl replication all all reject",
    "hostssl all all all scram-sha-256",
    "hostnossl all all all reject",
)


def shared(settings: Settings) -> dict[str, Any]:
    """What all members agree on through etcd, and a release puts there."""
    parameters = {
        "max_connections": CONNECTIONS,
        "max_worker_processes": 4,
        "max_wal_senders": 10,
        "max_replication_slots": 10,
        "wal_level": "replica",
        "hot_standby": "on",
        # A member that was gone for a moment, or is rewound, finds what it missed.
        "wal_keep_size": "256MB",
    }
    return {
        # Measured: docs/decisions/0024-data-tier.md. The least ttl that Patroni takes is 20.
        "ttl": 20,
        "loop_wait": 2,
        "retry_timeout": 9,
        # A primary that crashed is not waited for: a replica has everything that was acknowledged.
        "primary_start_timeout": 0,
        "synchronous_mode": settings.synchronous,
        # Alone, the primary takes writes: a lost replica must not stop the service.
        "synchronous_mode_strict": False,
        "synchronous_node_count": 1,
        # While etcd is away the primary goes on as long as every replica agrees.
        "failsafe_mode": True,
        "check_timeline": True,
        # Without backups nobody reads it, and it would keep the log until the disk's limit.
        "slots": {BACKUP_SLOT: {"type": "physical"} if settings.backups else None},
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            # A replica is a copy. What an old primary alone has was acknowledged to nobody, but
            # only in synchronous mode: otherwise it is kept for a person to look at.
            "remove_data_directory_on_rewind_failure": settings.synchronous,
            "remove_data_directory_on_diverged_timelines": settings.synchronous,
            "parameters": parameters
            | {name: value for name, value in settings.given.items() if name in SHARED},
        },
    }


def configuration(settings: Settings, memory: int, *, has_data: bool) -> dict[str, Any]:
    """Patroni's own file. A member without data waits for a leader to copy: it makes no cluster."""
    name = settings.name
    authority, certificate, key = (
        settings.file(each) for each in ("data_ca.crt", "data.crt", "data.key")
    )
    tls = {"sslmode": "verify-full", "sslrootcert": authority}
    member = {**tls, "sslcert": certificate, "sslkey": key}
    connections = int(settings.given.get("max_connections", CONNECTIONS))
    own = {each: value for each, value in settings.given.items() if each not in SHARED}
    content: dict[str, Any] = {
        "scope": "data",
        "namespace": "/slipway/",
        "name": name,
        "log": {"level": "INFO", "format": "%(asctime)s patroni %(levelname)s: %(message)s"},
        "restapi": {
            "listen": f"0.0.0.0:{API_PORT}",
            "connect_address": f"{name}:{API_PORT}",
            "certfile": certificate,
            "keyfile": key,
            "cafile": authority,
            # Whoever changes something shows a certificate of the tier's; figures may be read.
            "verify_client": "optional",
        },
        "ctl": {"certfile": certificate, "keyfile": key, "cacert": authority},
        "etcd3": {
            "host": "etcd:2379",
            "protocol": "https",
            "cacert": authority,
            "cert": certificate,
            "key": key,
        },
        "postgresql": {
            "listen": "*:5432",
            "connect_address": f"{name}:5432",
            "data_dir": DATA,
            "bin_dir": "/usr/lib/postgresql/17/bin",
            "custom_conf": "/etc/slipway/postgresql.conf",
            "pgpass": f"{SOCKETS}/pgpass",
            "use_unix_socket": True,
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {
                    "username": "slipway_replication",
                    "password": settings.password("slipway_replication"),
                    **member,
                },
                "rewind": {
                    "username": "slipway_rewind",
                    "password": settings.password("slipway_rewind"),
                    **member,
                },
            },
            "pg_hba": list(HBA),
            "pg_ident": list(IDENT),
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": {
                **tune(memory, connections),
                **own,
                "unix_socket_directories": SOCKETS,
                "ssl": "on",
                "ssl_ca_file": authority,
                "ssl_cert_file": certificate,
                "ssl_key_file": key,
                "ssl_min_protocol_version": "TLSv1.2",
            },
        },
        # A container has no such device; the leader's key in etcd expires without one as well.
        "watchdog": {"mode": "off"},
    }
    if has_data:
        # Nothing in place of a slot takes one away from a running cluster, and is one at the start.
        everybody = shared(settings)
        content["bootstrap"] = {
            "dcs": everybody
            | {"slots": {name: slot for name, slot in everybody["slots"].items() if slot}}
        }
    return content
