"""Passwords and the tokens people and programs show: how each is made, checked and stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from slipway_backend.access import Identity

ISSUER = "slipway"
ALGORITHM = "HS256"
API_KEY_PREFIX = "slk_"
REFRESH_PREFIX = "slr_"
PASSWORD_CHARACTERS = 12
# How much of an API key is kept in the clear, for people to tell theirs apart: 36 of 256 bits.
SHOWN_CHARACTERS = len(API_KEY_PREFIX) + 6
# A few hundred bytes each.
CHECKED_TOKENS = 4096

# Only those that are long enough to pass the rule of length.
COMMONEST_PASSWORDS = frozenset(
    {
        "123456789012",
        "1234567890123",
        "12345678901234",
        "123456123456",
        "111111111111",
        "000000000000",
        "1q2w3e4r5t6y",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwerty123456",
        "passwordpassword",
        "password1234",
        "password12345",
        "password123456",
        "iloveyou1234",
        "administrator",
        "administrator1",
        "adminadminadmin",
        "letmeinletmein",
        "changemechangeme",
        "changeme1234",
        "welcome12345",
        "welcome123456",
        "abcdefghijkl",
        "abcd1234abcd",
        "123qweasdzxc",
        "1qaz2wsx3edc",
        "slipwayslipway",
    }
)

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


def password_complaint(username: str, password: str) -> str | None:
    """What is wrong with a new password, one sentence; None when nothing is.

    Length over composition, and no commonest ones: NIST SP 800-63B, section 5.1.1.2.
    """
    plain = password.casefold()
    if len(password) < PASSWORD_CHARACTERS:
        return f"A password needs at least {PASSWORD_CHARACTERS} characters."
    if username.casefold() in plain and len(plain) < len(username) + PASSWORD_CHARACTERS:
        return "A password must not be the user name with a little added."
    if plain in COMMONEST_PASSWORDS or len(set(plain)) < 4:
        return "This password is among the first that are guessed: choose another."
    return None


def sha256(text: str) -> str:
    """The digest under which a random token is stored.

    A slow hash would protect nothing more: nobody guesses 256 random bits, however fast a guess is.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def new_api_key() -> str:
    """A new API key: its prefix and 256 random bits."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


class TokenRefused(Exception):
    """A token that is malformed, expired, or signed with another key."""


@dataclass(frozen=True)
class Claims:
    """What an access token says; tokens of the release before name no session."""

    user_id: UUID
    session_id: UUID | None
    issued_at: datetime


class TokenKeys:
    """The key that signs, and the one before it, whose tokens stay good until they expire."""

    def __init__(self, current: str, previous: str = "") -> None:
        self._current = current
        self._keys = {_key_id(key): key for key in (previous, current) if key}
        # Tokens whose signature was checked, with the time each expires. A client sends the same
        # one with every request, and checking it took a quarter of what finding its user does.
        self._checked: OrderedDict[str, tuple[Claims, float]] = OrderedDict()

    def issue(self, identity: Identity, *, session_id: UUID, seconds: int) -> str:
        """Return a signed access token that lives ``seconds``."""
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "sub": str(identity.user_id),
            "sid": str(session_id),
            # The release before reads these two, and may answer while this one takes over.
            "name": identity.username,
            "role": identity.role,
            "iat": now,
            "exp": now + timedelta(seconds=seconds),
        }
        headers = {"kid": _key_id(self._current)}
        return jwt.encode(claims, self._current, algorithm=ALGORITHM, headers=headers)

    def read(self, token: str) -> Claims:
        """Return what a token says; raise TokenRefused with the reason otherwise."""
        claims, expires = self._checked.get(token) or (None, 0.0)
        if claims is None or expires <= time.time():
            self._checked.pop(token, None)
            claims, expires = self._verify(token)
            self._checked[token] = claims, expires
            if len(self._checked) > CHECKED_TOKENS:
                self._checked.popitem(last=False)
        return claims

    def _verify(self, token: str) -> tuple[Claims, float]:
        """What a token says and when it expires; raise TokenRefused with the reason otherwise."""
        try:
            named = jwt.get_unverified_header(token).get("kid")
            keys = [self._keys[named]] if named is not None else list(self._keys.values())
        except (jwt.InvalidTokenError, KeyError, TypeError):
            raise TokenRefused("The access token is not valid; log in again.") from None
        for key in keys:
            try:
                return _decode(token, key)
            except jwt.InvalidSignatureError:
                continue
        raise TokenRefused("The access token is not valid; log in again.")

    def seal(self, values: Mapping[str, str], *, purpose: str, seconds: int) -> str:
        """Return `values` signed, so that who carries them can neither change nor invent them."""
        claims = {**values, "aud": purpose, "exp": datetime.now(UTC) + timedelta(seconds=seconds)}
        return jwt.encode(claims, self._current, algorithm=ALGORITHM)

    def unseal(self, sealed: str, *, purpose: str) -> dict[str, str]:
        """Return what `seal` was given for this purpose; raise TokenRefused otherwise."""
        for key in self._keys.values():
            try:
                claims = jwt.decode(
                    sealed,
                    key,
                    algorithms=[ALGORITHM],
                    audience=purpose,
                    options={"require": ["exp", "aud"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError:
                break
            return {name: str(value) for name, value in claims.items()}
        raise TokenRefused("This login took too long, or was begun elsewhere: begin again.")

    def refresh_tokens(self, session_id: UUID, nonce: str) -> list[str]:
        """The refresh token of a session's nonce, with the current key first."""
        return [
            REFRESH_PREFIX
            + session_id.hex
            + "_"
            + hmac.new(key.encode(), f"refresh\n{nonce}".encode(), "sha256").hexdigest()
            for key in reversed(self._keys.values())
        ]


def session_of(refresh_token: str) -> UUID:
    """The session that a refresh token is of; raise TokenRefused when it is no refresh token."""
    head, _, secret = refresh_token.removeprefix(REFRESH_PREFIX).partition("_")
    if refresh_token.startswith(REFRESH_PREFIX) and secret:
        try:
            return UUID(hex=head)
        except ValueError:
            pass
    raise TokenRefused("The refresh token is not valid; log in again.")


def _decode(token: str, key: str) -> tuple[Claims, float]:
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iat", "sub", "iss"]},
        )
        session = claims.get("sid")
        said = Claims(
            UUID(claims["sub"]),
            None if session is None else UUID(session),
            datetime.fromtimestamp(claims["iat"], UTC),
        )
        return said, float(claims["exp"])
    except jwt.InvalidSignatureError:
        raise
    except jwt.ExpiredSignatureError:
        raise TokenRefused("The access token has expired; log in again.") from None
    except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError, OverflowError):
        raise TokenRefused("The access token is not valid; log in again.") from None


def _key_id(key: str) -> str:
    return hashlib.sha256(b"key id\n" + key.encode()).hexdigest()[:16]
