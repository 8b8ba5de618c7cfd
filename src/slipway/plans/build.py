"""Which images must be built, because the registry has none with the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.facts.images import ImageInputs


@dataclass(frozen=True)
class BuildPlan:
    """`build` are names to build; `kept` those whose inputs did not change."""

    build: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        if not self.build:
            return f"images: nothing to build ({', '.join(self.kept)} unchanged)"
        kept = f"; unchanged: {', '.join(self.kept)}" if self.kept else ""
        return f"images: build {', '.join(self.build)}{kept}"


def plan(inputs: Sequence[ImageInputs], have: Mapping[str, str | None]) -> BuildPlan:
    """Compare each image's inputs with the registry's digests for their tags."""
    return BuildPlan(
        build=tuple(image.name for image in inputs if have.get(image.name) is None),
        kept=tuple(image.name for image in inputs if have.get(image.name) is not None),
    )


def variables(inputs: Sequence[ImageInputs], registry: str) -> dict[str, str]:
    """The variables by which docker-bake.hcl is told where to push, and under which tags."""
    return {
        "REGISTRY": registry,
        **{f"TAG_{image.name.upper()}": image.input_hash for image in inputs},
    }
