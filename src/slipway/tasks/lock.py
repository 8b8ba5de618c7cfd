"""Lock files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import invoke

from slipway.commands import uv
from slipway.config.layout import checkout
from slipway.console import phase, say
from slipway.facts import lock as facts
from slipway.plans import lock as plans
from slipway.run import run
from slipway.tasks.door import task


@task(
    help={
        "upgrade": "take the newest versions that the pyproject.toml files allow",
        "package": "let only this package go to its newest version (repeatable)",
    },
    iterable=["package"],
)
def lock(context: invoke.Context, package: list[str], upgrade: bool = False) -> None:
    """Compile requirements/ from the pyproject.toml files."""
    root = checkout().root
    if not (upgrade or package or plans.stale(root)):
        say("Every lock is fresh; nothing to do.")
        return
    compile_all(root, upgrade=upgrade, upgrade_packages=tuple(package))


def compile_all(root: Path, *, upgrade: bool, upgrade_packages: tuple[str, ...]) -> None:
    """Compile the constraints, then every environment under them, then put all in place."""
    projects = facts.projects(root)
    without = plans.excluded(projects)
    folder = root / facts.FOLDER
    requirements = {name: plans.wanted(e, projects) for name, e in plans.ENVIRONMENTS.items()}
    everything = plans.everything(projects)
    with tempfile.TemporaryDirectory(prefix="slipway-lock-") as scratch:
        constraints = Path(scratch) / f"{plans.CONSTRAINTS}.txt"
        before = facts.read(folder / constraints.name)
        constraints.write_text(before.body if before else "", encoding="utf-8")
        with phase(plans.CONSTRAINTS):
            command = uv.pip_compile(
                constraints,
                python=plans.PYTHON,
                hashes=False,
                upgrade=upgrade,
                upgrade_packages=upgrade_packages,
            )
            run(command, input="\n".join(everything), cwd=root, env=uv.ENVIRONMENT)
        for name, wanted in requirements.items():
            output = Path(scratch) / f"{name}.txt"
            apart = plans.ENVIRONMENTS[name].apart
            with phase(name):
                command = uv.pip_compile(
                    output, python=plans.PYTHON, constraints=None if apart else constraints
                )
                run(command, input="\n".join(wanted), cwd=root, env=uv.ENVIRONMENT)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.txt"):
            old.unlink()
        for name, wanted in {**requirements, plans.CONSTRAINTS: everything}.items():
            body = (Path(scratch) / f"{name}.txt").read_text(encoding="utf-8")
            digest = plans.inputs_digest(wanted, without)
            (folder / f"{name}.txt").write_text(plans.text(digest, body), encoding="utf-8")
    say(f"{len(requirements)} locks are fresh. Next: sh setup.sh && nox -s lint")
