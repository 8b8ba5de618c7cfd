"""One environment with replicas for these tests; taken down at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from site_copy import Site

sys.path[:0] = [str(Path(__file__).parent)]

from tier_rig import DataTier  # noqa: E402


@pytest.fixture(scope="module")
def tier(released: Site) -> Iterator[DataTier]:
    """A released environment whose primary two replicas follow."""
    made = DataTier(released)
    made.invoke("down", "--volumes", "--yes")
    try:
        answer = made.invoke("release")
        assert answer.exit_code == 0, answer.text
        yield made
    finally:
        ended = made.remove()
    assert ended.exit_code == 0, ended.text
