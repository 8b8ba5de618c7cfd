"""The environment of the tests with a log store, which it gets while it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from site_copy import NAME, Site


@pytest.fixture(scope="module")
def kept(released: Site) -> Iterator[Site]:
    """An environment that keeps what its containers write."""
    released.set_environment(logs={"days": 7, "gib": 1})
    answer = released.invoke("release", "--env", NAME)
    assert answer.exit_code == 0, answer.text
    yield released
    released.put_back()
