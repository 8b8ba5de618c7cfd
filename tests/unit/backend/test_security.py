from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import jwt
import pytest

from slipway_backend.access import Identity
from slipway_backend.security import (
    TokenKeys,
    TokenRefused,
    hash_password,
    password_complaint,
    session_of,
    verify_password,
)

SECRET = "k" * 32
KEYS = TokenKeys(SECRET)
IDENTITY = Identity(uuid4(), "admin", "admin")
SESSION = uuid4()
OF_THE_RELEASE_BEFORE = {"iss": "slipway", "name": "admin", "role": "admin", "iat": 1_700_000_000}


def test_a_password_fits_its_own_hash_only() -> None:
    stored = hash_password("right")
    assert verify_password(stored, "right")
    assert not verify_password(stored, "wrong")
    assert not verify_password("not a hash", "right")


def test_nobody_logs_in_as_an_unknown_user_even_with_the_decoys_password() -> None:
    assert not verify_password(None, "the password of nobody")


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short", "at least 12"),
        ("Password1234", "first that are guessed"),
        ("aaaaaaaaaaaaaaaa", "first that are guessed"),
        ("Christine2026", "user name"),
        ("correct horse battery", None),
        ("my friend christine is kind", None),
    ],
)
def test_a_password_is_long_and_neither_the_users_name_nor_a_common_one(
    password: str, complaint: str | None
) -> None:
    found = password_complaint("christine", password)
    assert found is None if complaint is None else complaint in str(found)


def test_a_token_tells_whom_and_which_session_it_was_issued_to() -> None:
    claims = KEYS.read(KEYS.issue(IDENTITY, session_id=SESSION, seconds=60))
    assert (claims.user_id, claims.session_id) == (IDENTITY.user_id, SESSION)


def test_a_token_of_the_release_before_is_read_and_names_no_session() -> None:
    token = jwt.encode({**OF_THE_RELEASE_BEFORE, "sub": str(SESSION), "exp": 1 << 33}, SECRET)
    claims = KEYS.read(token)
    assert (claims.user_id, claims.session_id) == (SESSION, None)
    assert claims.issued_at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_the_release_before_finds_in_a_token_what_it_needs() -> None:
    token = KEYS.issue(IDENTITY, session_id=SESSION, seconds=60)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="slipway")
    assert claims.items() >= {"sub": str(IDENTITY.user_id), "name": "admin"}.items()
    assert claims["role"] == "admin"


def test_tokens_of_the_key_before_stay_good_and_those_of_other_keys_do_not() -> None:
    old, new = TokenKeys("o" * 32), TokenKeys("n" * 32)
    both = TokenKeys("n" * 32, "o" * 32)
    token = old.issue(IDENTITY, session_id=SESSION, seconds=60)
    assert both.read(token).session_id == SESSION
    assert new.read(both.issue(IDENTITY, session_id=SESSION, seconds=60)).session_id == SESSION
    without_id = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "o" * 32)
    assert both.read(without_id).session_id == SESSION
    with pytest.raises(TokenRefused, match="not valid"):
        new.read(token)
    nonce = "a" * 64
    assert old.refresh_tokens(SESSION, nonce)[0] in both.refresh_tokens(SESSION, nonce)
    assert both.refresh_tokens(SESSION, nonce)[0] == new.refresh_tokens(SESSION, nonce)[0]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (KEYS.issue(IDENTITY, session_id=SESSION, seconds=-1), "expired"),
        (TokenKeys("o" * 32).issue(IDENTITY, session_id=SESSION, seconds=60), "not valid"),
        ("nonsense", "not valid"),
        ("e30.e30.", "not valid"),
        (jwt.encode({"sub": "x", "iss": "slipway", "exp": 1 << 33, "iat": 0}, SECRET), "not valid"),
        (jwt.encode({"sub": str(SESSION), "iss": "slipway"}, SECRET), "not valid"),
        (
            jwt.encode({**OF_THE_RELEASE_BEFORE, "sub": str(SESSION), "exp": 1 << 33}, "", "none"),
            "not valid",
        ),
        (
            jwt.encode(
                {**OF_THE_RELEASE_BEFORE, "sub": str(SESSION), "exp": 1 << 33, "sid": 7}, SECRET
            ),
            "not valid",
        ),
    ],
)
def test_other_tokens_are_refused_with_the_reason(token: str, reason: str) -> None:
    with pytest.raises(TokenRefused, match=reason):
        KEYS.read(token)


@pytest.mark.parametrize("token", ["", "slr_", "slr_x_y", f"slr_{uuid4().hex}", "slk_a_b"])
def test_what_is_no_refresh_token_names_no_session(token: str) -> None:
    with pytest.raises(TokenRefused, match="not valid"):
        session_of(token)


def test_a_refresh_token_names_its_session() -> None:
    assert session_of(KEYS.refresh_tokens(SESSION, "nonce")[0]) == SESSION
