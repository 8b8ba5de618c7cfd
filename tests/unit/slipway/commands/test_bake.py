"""The command lines of buildx, whole."""

from __future__ import annotations

from pathlib import Path

from slipway.commands import bake

FILE = Path("/site/docker-bake.hcl")


def test_describing_builds_nothing() -> None:
    assert bake.describe(FILE, ["edge"]) == (
        *("docker", "buildx", "bake", "--file", "/site/docker-bake.hcl", "--print", "edge"),
    )


def test_building_pushes_images_without_attestations() -> None:
    assert bake.build(FILE, ["backend", "edge"]) == (
        *("docker", "buildx", "bake", "--file", "/site/docker-bake.hcl", "--push"),
        *("--progress", "plain", "--provenance=false", "--sbom=false", "backend", "edge"),
    )
