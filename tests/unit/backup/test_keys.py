"""Every pass phrase is made of the one key, and none tells of another."""

from __future__ import annotations

import pytest

from slipway_backup import keys
from slipway_backup.errors import Refused

KEY = "correct horse battery staple, forty chars"


def test_pass_phrases_differ_by_use_and_by_key_and_never_change() -> None:
    made = {keys.database(KEY), keys.files(KEY), keys.fingerprint(KEY), keys.files(KEY + "x")}
    assert len(made) == 4
    # A repository that was made is opened with this for as long as it is kept.
    assert keys.files("k" * 32).startswith("8a5054bf")
    assert keys.database("k" * 32).startswith("e47bb022")


def test_a_short_key_is_refused_with_how_to_make_one() -> None:
    with pytest.raises(Refused, match="has 31 characters and needs at least 32") as caught:
        keys.files("k" * 31)
    assert "openssl rand" in caught.value.next
