from __future__ import annotations

from uuid import uuid4

import jwt
import pytest

from slipway_backend.access import Identity
from slipway_backend.security import (
    LoginThrottle,
    TokenRefused,
    hash_password,
    issue_token,
    read_token,
    verify_password,
)

SECRET = "k" * 32
IDENTITY = Identity(uuid4(), "admin", "admin")


def test_a_password_fits_its_own_hash_only() -> None:
    stored = hash_password("right")
    assert verify_password(stored, "right")
    assert not verify_password(stored, "wrong")
    assert not verify_password("not a hash", "right")


def test_nobody_logs_in_as_an_unknown_user_even_with_the_decoys_password() -> None:
    assert not verify_password(None, "the password of nobody")


def test_a_token_tells_whom_it_was_issued_to() -> None:
    assert read_token(issue_token(IDENTITY, secret=SECRET, seconds=60), secret=SECRET) == IDENTITY


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (issue_token(IDENTITY, secret=SECRET, seconds=-1), "expired"),
        (issue_token(IDENTITY, secret="o" * 32, seconds=60), "not valid"),
        ("nonsense", "not valid"),
        (jwt.encode({"sub": "x", "iss": "slipway", "exp": 1 << 40}, SECRET), "not valid"),
        (jwt.encode({"sub": str(uuid4()), "iss": "slipway"}, SECRET), "not valid"),
    ],
)
def test_other_tokens_are_refused_with_the_reason(token: str, reason: str) -> None:
    with pytest.raises(TokenRefused, match=reason):
        read_token(token, secret=SECRET)


def test_failures_make_a_key_wait_until_the_window_has_passed() -> None:
    now = [100.0]
    throttle = LoginThrottle(free_failures=2, window_seconds=60, clock=lambda: now[0])
    throttle.failed("a")
    assert throttle.seconds_to_wait("a") == 0
    now[0] = 110.0
    throttle.failed("a")
    assert throttle.seconds_to_wait("a") == 50
    assert throttle.seconds_to_wait("b") == 0
    now[0] = 161.0
    assert throttle.seconds_to_wait("a") == 0


def test_a_success_forgets_failures_and_memory_is_bounded() -> None:
    throttle = LoginThrottle(free_failures=1, keys=2, clock=lambda: 0.0)
    throttle.failed("a")
    throttle.succeeded("a")
    assert throttle.seconds_to_wait("a") == 0
    for key in ("x", "y", "z"):
        throttle.failed(key)
    assert throttle.seconds_to_wait("x") == 0
    assert throttle.seconds_to_wait("z") > 0
