"""One environment with a log store, for these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from site_copy import NAME, Site


@pytest.fixture(scope="session", autouse=True)
def edge_image() -> None:
    """Nothing here is of the edge's alone."""


@pytest.fixture(scope="module")
def kept(site: Site) -> Iterator[Site]:
    """An environment that keeps what its containers write."""
    site.set_environment(logs={"days": 7, "gib": 1})
    answer = site.invoke("release", "--env", NAME)
    assert answer.exit_code == 0, answer.text
    try:
        yield site
    finally:
        # Store and collector go with everything alone: no other test has them.
        assert site.invoke("down", "--env", NAME).exit_code == 0
        site.put_back()
