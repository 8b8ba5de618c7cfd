"""One environment for all end-to-end tests: released once, taken down at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from site_copy import NAME, ROOT, Site  # noqa: E402

from slipway.facts import git  # noqa: E402
from slipway.report import Result, write  # noqa: E402


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with no environment yet; whatever an earlier run left of it is gone."""
    made = Site(tmp_path_factory.mktemp("site"))
    down = ("down", "--env", NAME, "--volumes", "--yes-delete", NAME)
    assert made.invoke(*down).exit_code == 0
    try:
        yield made
    finally:
        made.set_environment()
        ended = made.invoke(*down)
        made.engine.close()
    assert ended.exit_code == 0, ended.text


@pytest.fixture(scope="session")
def figures(site: Site) -> Iterator[list[Result]]:
    """What the tests measure; written to reports/release.json, or another one, at the end."""
    measured: list[Result] = []
    yield measured
    engine = str(site.engine.version()["Version"])
    topic = os.environ.get("SLIPWAY_E2E_REPORT", "release")
    write(ROOT / "reports", topic, measured, commit=git.read(ROOT).short, engine=engine)


@pytest.fixture(scope="session")
def released(site: Site, figures: list[Result]) -> Site:
    """The site with its first release."""
    began = time.monotonic()
    answer = site.invoke("release", "--env", NAME)
    assert answer.exit_code == 0, answer.text
    seconds = round(time.monotonic() - began, 1)
    figures.append(Result("first release of an environment", seconds, "s"))
    site.first_release = answer.text
    return site


@pytest.fixture
def configure(released: Site) -> Iterator[Callable[..., None]]:
    """Change the overlay for one test; whoever comes next finds it, and what runs, as before."""
    yield released.set_environment
    released.put_back()


@pytest.fixture(scope="session", autouse=True)
def edge_image(released: Site) -> None:
    """Tell the edge's own tests which image to use: the one that was released."""
    if "SLIPWAY_EDGE_IMAGE" not in os.environ:
        os.environ["SLIPWAY_EDGE_IMAGE"] = next(
            each["image"] for each in released.status()["containers"] if each["service"] == "edge"
        )
