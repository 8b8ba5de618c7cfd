"""Only images whose inputs are new are built."""

from __future__ import annotations

import pytest

from slipway.facts.images import ImageInputs
from slipway.plans import build

INPUTS = (ImageInputs("backend", "aaaa"), ImageInputs("edge", "bbbb"))


@pytest.mark.parametrize(
    ("have", "to_build", "text"),
    [
        ({}, ("backend", "edge"), "images: build backend, edge"),
        ({"edge": "sha256:1"}, ("backend",), "images: build backend; unchanged: edge"),
        (
            {"backend": "sha256:2", "edge": "sha256:1"},
            (),
            "images: nothing to build (backend, edge unchanged)",
        ),
    ],
)
def test_what_the_registry_has_is_kept(
    have: dict[str, str], to_build: tuple[str, ...], text: str
) -> None:
    plan = build.plan(INPUTS, have)
    assert plan.build == to_build
    assert str(plan) == text


def test_a_tag_is_the_hash_of_the_inputs() -> None:
    assert build.variables(INPUTS, "localhost:5000") == {
        "REGISTRY": "localhost:5000",
        "TAG_BACKEND": "aaaa",
        "TAG_EDGE": "bbbb",
    }
