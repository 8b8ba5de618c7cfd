"""Command lines of `docker buildx bake`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Argv = tuple[str, ...]

#: The engine's own builder has the base image; another one would look for it in a registry. The
#: bundle of authorities lies outside the checkout: buildx from 0.20 on asks a person about that.
ENVIRONMENT = {"BUILDX_BUILDER": "default", "BUILDX_BAKE_ENTITLEMENTS_FS": "0"}


def describe(file: Path, targets: Sequence[str]) -> Argv:
    """Print what the targets are made of, as JSON, without building."""
    return ("docker", "buildx", "bake", "--file", str(file), "--print", *targets)


def build(file: Path, targets: Sequence[str]) -> Argv:
    """Build `targets` in parallel and push them.

    Without attestations: a digest then names one image, not an index beside it.
    """
    return (
        *("docker", "buildx", "bake", "--file", str(file), "--push", "--progress", "plain"),
        *("--provenance=false", "--sbom=false", *targets),
    )
