"""Building what is new, pushing it, and naming every image by its digest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway import console
from slipway.commands import bake
from slipway.config.layout import Layout
from slipway.errors import CommandFailed, SlipwayError
from slipway.facts import images, migrations, registry
from slipway.plans import build as plans
from slipway.run import run

REPOSITORY = "slipway"
# BuildKit's plain output names a step like this: `#12 [backend runtime 3/6] RUN ...`.
_STEP = re.compile(r"^#\d+ (\[[^\]]+ +\d+/\d+\]) (.+)$")
PROGRESS_WIDTH = 96


@dataclass(frozen=True)
class Images:
    """The images of a release: how each is referred to, and what it is known by.

    `references` are by digest; an image that must be built first, named in `build`, is referred
    to by its tag. `identities` are the same before and after a build: the hash of an image's inputs
    where it is built here, its digest where it is taken from elsewhere.
    """

    references: Mapping[str, str]
    identities: Mapping[str, str]
    build: tuple[str, ...] = ()


def wanted(
    layout: Layout, *, registry_name: str, base_id: str, targets: Sequence[str] = ()
) -> Images:
    """Name the images of the checkout without building any."""
    inputs = images.read(layout, base_id, targets)
    have = _digests(registry_name, inputs)
    return Images(
        references={
            image.name: _reference(registry_name, image, have[image.name]) for image in inputs
        },
        identities={image.name: f"inputs {image.input_hash}" for image in inputs},
        build=plans.plan(inputs, have).build,
    )


def build(
    layout: Layout,
    *,
    registry_name: str,
    base_id: str,
    targets: Sequence[str] = (),
    timings: dict[str, float] | None = None,
) -> dict[str, str]:
    """Build and push the images whose inputs are new, all at once.

    Returns a reference by digest for each image. Raises SlipwayError with the last lines of the
    build when it failed; the whole of it is in .slipway/build.log.
    """
    inputs = images.read(layout, base_id, targets)
    have = _digests(registry_name, inputs)
    plan = plans.plan(inputs, have)
    console.say(str(plan))
    if plan.build:
        variables = plans.variables(inputs, registry_name)
        variables["SCHEMA"] = migrations.label(migrations.of_checkout(layout.root))
        with console.phase(phase(plan.build), timings) as progress:
            _bake(layout, plan.build, variables, progress)
        have = _digests(registry_name, inputs)
    missing = [name for name, digest in have.items() if digest is None]
    if missing:
        raise SlipwayError(f"built, but not in the registry: {', '.join(missing)}")
    return {image.name: _reference(registry_name, image, have[image.name]) for image in inputs}


def phase(names: Sequence[str]) -> str:
    """What the building of these images is called, on the screen and in the ledger."""
    return f"build {len(names)} images"


def _reference(registry_name: str, image: images.ImageInputs, digest: str | None) -> str:
    named = f"@{digest}" if digest else f":{image.input_hash}"
    return f"{registry_name}/{REPOSITORY}/{image.name}{named}"


def _digests(registry_name: str, inputs: Sequence[images.ImageInputs]) -> dict[str, str | None]:
    return {
        image.name: registry.digest(registry_name, f"{REPOSITORY}/{image.name}", image.input_hash)
        for image in inputs
    }


def _bake(
    layout: Layout,
    targets: Sequence[str],
    variables: Mapping[str, str],
    progress: console.Progress,
) -> None:
    shown: set[str] = set()

    def on_line(line: str) -> None:
        step = _STEP.match(line)
        if step and step[1] not in shown:
            shown.add(step[1])
            progress(f"{step[1]} {step[2]}"[:PROGRESS_WIDTH])

    log = layout.local / "build.log"
    try:
        run(
            bake.build(layout.root / "docker-bake.hcl", targets),
            env={**bake.ENVIRONMENT, **variables},
            cwd=layout.root,
            log=log,
            on_line=on_line,
        )
    except CommandFailed as error:
        lines = "\n".join(f"    {line}" for line in error.last_lines)
        raise SlipwayError(
            f"the build failed (all of it: {layout.shown(log)}):\n{lines}",
            next_command="invoke build",
        ) from error
