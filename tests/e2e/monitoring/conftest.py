"""One environment that is watched, for these tests; the image of monitoring for those of rules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from site_copy import NAME, ROOT, Site  # noqa: E402
from watch_rig import Watched  # noqa: E402

from slipway.commands import bake  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def edge_image() -> None:
    """Nothing here is of the edge's: the rules are tested without any environment."""


@pytest.fixture(scope="session")
def image() -> str:
    """The image of monitoring, built from the checkout."""
    name = f"slipway-{NAME}-monitoring:local"
    words = ("--load", "--set", f"monitoring.tags={name}", "monitoring")
    file = str(ROOT / "docker-bake.hcl")
    subprocess.run(
        ("docker", "buildx", "bake", "--file", file, "--progress", "plain", *words),
        cwd=ROOT,
        env={**os.environ, **bake.ENVIRONMENT},
        check=True,
    )
    return name


@pytest.fixture(scope="module")
def watched(site: Site) -> Iterator[Watched]:
    """An environment with all of its monitoring, and who is told of it."""
    made = Watched(site)
    made.end()
    try:
        made.begin()
        yield made
    finally:
        made.end()
        # The networks that only monitoring needs go with everything alone.
        assert site.invoke("down", "--env", NAME).exit_code == 0
        site.put_back()
