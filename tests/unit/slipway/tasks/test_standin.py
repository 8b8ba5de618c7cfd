"""The stand-in engine refuses what it does not know; the e2e tests hold it to the real programs."""

from __future__ import annotations

import json
import subprocess

import pytest
from standin_world import World


@pytest.mark.parametrize(
    "argv",
    [
        ("system", "prune", "--force"),
        ("compose", "--project-name", "slipway-dev-g1", "kill"),
        ("run", "--rm", "--interactive", "--privileged", "image", "read"),
        ("run", "--rm", "--detach", "--init", "--name", "a", "--privileged", "image", "hold", "1"),
    ],
)
def test_an_unknown_command_line_is_refused_and_remembered(
    released: World, argv: tuple[str, ...]
) -> None:
    done = subprocess.run(("docker", *argv), capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "the stand-in does not know" in done.stderr
    assert released.standin.unknown == [" ".join(argv)]
    released.standin.unknown.clear()


def test_another_process_reaches_it_too(released: World) -> None:
    """So that whole programs can be killed in the middle of a release."""
    edge = released.standin.project("slipway-dev-platform")[1]["Id"]
    done = subprocess.run(
        ("docker", "exec", edge, "slipway-edge", "status"), capture_output=True, check=True
    )
    assert json.loads(done.stdout)["generation"] == 1
