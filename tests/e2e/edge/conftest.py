"""The edges that the tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from edge_rig import Edge  # noqa: E402

IMAGE = "SLIPWAY_EDGE_IMAGE"


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test."""
    name = os.environ.get(IMAGE)
    if not name:
        pytest.fail(f"{IMAGE} must name the edge's image")
    return name


@pytest.fixture
def new_edge(image: str, tmp_path: Path) -> Iterator[Edge]:
    """An edge that is made ready but not yet started."""
    edge = Edge(image, tmp_path)
    yield edge
    edge.close()


@pytest.fixture(scope="module")
def edge(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A started edge with one backend of generation 1 that serves, shared by a module's tests."""
    edge = Edge(image, tmp_path_factory.mktemp("edge"))
    try:
        edge.start()
        edge.backend(1)
        edge.switch(1)
        yield edge
    finally:
        edge.close()
