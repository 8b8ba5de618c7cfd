"""The other host that the tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from other_host import OtherHost  # noqa: E402
from site_copy import NAME  # noqa: E402


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherHost]:
    """A running host whose user may use its engine; gone afterwards, with all it held."""
    made = OtherHost(f"slipway-{NAME}-other-host", tmp_path_factory.mktemp("ssh"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_SSH", made.ssh)
        try:
            yield made
        finally:
            made.remove()
