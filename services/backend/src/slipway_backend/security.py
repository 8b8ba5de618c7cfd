"""Passwords, access tokens, and the brake on guessing passwords."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from slipway_backend.access import Identity, Role

ISSUER = "slipway"
ALGORITHM = "HS256"

# 19 MiB and two passes are OWASP's floor: enough against guessing, small beside the memory limit.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified for unknown users, so that a missing user takes as long as a wrong password.
_NOBODY = _hasher.hash("the password of nobody")


def hash_password(password: str) -> str:
    """Return an argon2id hash that carries its own parameters and salt."""
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password fits; unknown users (``None``) cost the same time and are refused."""
    try:
        _hasher.verify(stored or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


class TokenRefused(Exception):
    """An access token that is malformed, expired, or signed with another key."""


def issue_token(identity: Identity, *, secret: str, seconds: int) -> str:
    """Return a signed access token that lives ``seconds``."""
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "sub": str(identity.user_id),
        "name": identity.username,
        "role": identity.role,
        "iat": now,
        "exp": now + timedelta(seconds=seconds),
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def read_token(token: str, *, secret: str) -> Identity:
    """Return whom the token was issued to; raise TokenRefused with the reason otherwise."""
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "sub", "iss"]},
        )
        return Identity(UUID(claims["sub"]), str(claims["name"]), cast("Role", claims["role"]))
    except jwt.ExpiredSignatureError:
        raise TokenRefused("The access token has expired; log in again.") from None
    except (jwt.InvalidTokenError, KeyError, ValueError):
        raise TokenRefused("The access token is not valid; log in again.") from None


class LoginThrottle:
    """Counts failed logins per key and says how long the next try must wait.

    Memory is bounded: the oldest keys are forgotten first.
    """

    def __init__(
        self,
        *,
        free_failures: int = 5,
        window_seconds: float = 60.0,
        keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free_failures
        self._window = window_seconds
        self._keys = keys
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def seconds_to_wait(self, key: str) -> float:
        """Seconds until this key may try again; 0 when it may now."""
        now = self._clock()
        recent = [moment for moment in self._failures.get(key, []) if now - moment < self._window]
        if len(recent) < self._free:
            return 0.0
        return self._window - (now - recent[-self._free])

    def failed(self, key: str) -> None:
        """Remember one failed login."""
        moments = self._failures.pop(key, [])
        self._failures[key] = [*moments, self._clock()][-self._free :]
        while len(self._failures) > self._keys:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)
