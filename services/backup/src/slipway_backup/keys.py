"""The one key of an environment's backups, and the pass phrases that are made of it."""

from __future__ import annotations

import hashlib
import hmac

from slipway_backup.errors import Refused

LEAST_CHARACTERS = 32
SALT = b"slipway backup 1"


def derive(key: str, label: str) -> str:
    """The pass phrase for one use: HKDF-SHA256 of the key, with the use as its label.

    Raises Refused when the key is too short to be one.
    """
    if len(key) < LEAST_CHARACTERS:
        raise Refused(
            f"backup_key has {len(key)} characters and needs at least {LEAST_CHARACTERS}",
            "make one with: openssl rand -base64 48",
        )
    secret = hmac.new(SALT, key.encode(), hashlib.sha256).digest()
    return hmac.new(secret, label.encode() + b"\x01", hashlib.sha256).hexdigest()


def database(key: str) -> str:
    """The pass phrase of pgBackRest's repositories."""
    return derive(key, "pgbackrest")


def files(key: str) -> str:
    """The pass phrase of restic's repositories."""
    return derive(key, "restic")


def fingerprint(key: str) -> str:
    """What may be shown of a key, so that two copies of it can be compared."""
    return derive(key, "fingerprint")[:16]
