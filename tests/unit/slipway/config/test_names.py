"""Names on the engine are what containers, networks and volumes are found by."""

from __future__ import annotations

import pytest

from slipway.config import names


def test_names_begin_with_the_environment() -> None:
    assert names.platform_project("dev") == "slipway-dev-platform"
    assert names.generation_project("dev", 42) == "slipway-dev-g42"
    assert names.network("dev", "public") == "slipway-dev-public"
    assert names.toolbox_container("dev") == "slipway-dev-toolbox"
    assert names.volumes("dev") == (
        "slipway-dev-state",
        "slipway-dev-postgres",
        "slipway-dev-files",
        "slipway-dev-edge",
        "slipway-dev-secrets-backend",
        "slipway-dev-secrets-migrate",
        "slipway-dev-secrets-postgres",
        "slipway-dev-secrets-edge",
    )


@pytest.mark.parametrize(
    ("project", "generation"),
    [
        ("slipway-dev-g42", 42),
        ("slipway-dev-platform", None),
        ("slipway-dev-g", None),
        ("slipway-dev-g4x", None),
        ("slipway-devel-g4", None),
        ("other-slipway-dev-g4", None),
    ],
)
def test_a_generation_is_told_from_any_other_project(project: str, generation: int | None) -> None:
    assert names.generation_of("dev", project) == generation
