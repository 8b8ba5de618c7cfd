"""Names on the engine are what containers, networks and volumes are found by."""

from __future__ import annotations

import pytest

from slipway.config import names


def test_names_begin_with_the_environment() -> None:
    assert names.platform_project("dev") == "slipway-dev-platform"
    assert names.generation_project("dev", 42) == "slipway-dev-g42"
    assert names.network("dev", "front") == "slipway-dev-front"
    assert names.toolbox_container("dev") == "slipway-dev-toolbox"
    assert names.volumes("dev") == (
        "slipway-dev-state",
        "slipway-dev-postgres",
        "slipway-dev-files",
        "slipway-dev-edge",
        "slipway-dev-edge-b",
        "slipway-dev-door",
        "slipway-dev-secrets-backend",
        "slipway-dev-secrets-migrate",
        "slipway-dev-secrets-postgres",
        "slipway-dev-secrets-edge",
        "slipway-dev-secrets-etcd",
        "slipway-dev-secrets-backup",
        "slipway-dev-secrets-monitoring",
        "slipway-dev-secrets-alertmanager",
        "slipway-dev-secrets-console",
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


@pytest.mark.parametrize(
    ("project", "owned"),
    [
        ("slipway-dev-platform", True),
        ("slipway-dev-g7", True),
        ("slipway-dev2-platform", False),
        ("slipway-dev-2-platform", False),
        ("slipway-dev-2-g7", False),
        ("slipway-dev-gx", False),
        ("slipway-devel-g7", False),
    ],
)
def test_a_project_of_another_environment_is_left_alone(project: str, owned: bool) -> None:
    assert names.owns("dev", project) is owned


def test_no_volume_or_network_of_one_environment_has_the_name_of_another() -> None:
    mine, theirs = ({*names.volumes(each), *names.networks(each)} for each in ("dev", "devsecrets"))
    assert not mine & theirs
