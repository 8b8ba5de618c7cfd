"""Command lines of `docker buildx bake`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Argv = tuple[str, ...]


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
