"""Restoring an environment's data into another one, which a release brings up on it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import docker

from slipway import backup, console, state, target
from slipway.apply import ground
from slipway.commands import backup as commands
from slipway.commands import compose
from slipway.config import members, names
from slipway.config.backup import SERVICE
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import EngineFacts
from slipway.plans import release as release_plans
from slipway.plans import restore as plans
from slipway.plans.stacks import Stack
from slipway.plans.steps import Kind, Step
from slipway.restore import Restore
from slipway.restore import prepare as prepared
from slipway.run import asked, run


@dataclass
class Into:
    """A restore of one environment's data into the volumes of another.

    `owners` are image and folder that a volume gets its owner from where it is new; `released`: the
    other one has data of its own, which is overwritten.
    """

    layout: Layout
    name: str
    into: str
    reached: target.Target
    wanted: plans.Target
    platform: Stack
    steps: tuple[Step, ...]
    toolbox: str
    owners: Mapping[str, tuple[str, str]]
    released: bool

    @property
    def engine(self) -> docker.DockerClient:
        """The engine that both environments are on."""
        return self.reached.engine

    @property
    def command(self) -> str:
        """What goes on with it when it is killed."""
        return f"invoke restore --env {self.name} --to {self.wanted.to} --into {self.into}"

    def __str__(self) -> str:
        head = f"restore {self.name} as of {self.wanted.said} into {self.into}:"
        numbered = [f"  {number:>2}. {step}" for number, step in enumerate(self.steps, 1)]
        kept = f"  {self.name} itself goes on meanwhile, and nothing of it is changed"
        return "\n".join([head, *numbered, kept])

    def apply(self) -> None:
        """Carry it out under the other environment's lease, so that no release begins meanwhile.

        The journal stays open until its data is whole.
        """
        ground(release_plans.Plan(self.into, 0, None, self.steps), self.engine)
        purpose = f"restore of {self.name} into it"
        note: dict[str, Any] = {
            "kind": "restore",
            "restore": {
                "from": self.name,
                "to": self.wanted.to,
                "safety": "",
                "closed": False,
                "command": self.command,
            },
        }
        for each, (image, folder) in self.owners.items():
            run(commands.begin(image, names.prefix(self.into) + each, folder), timeout=120)
        with state.opened(self.into, self.toolbox, purpose=purpose) as held:
            for step in (each for each in self.steps if each.kind is not Kind.VOLUME):
                held.journal(**note, step=str(step), what=plans.what(step), done=False)
                with console.phase(step.phase) as progress:
                    held.check()
                    if step.kind is Kind.ASIDE:
                        self.engine.volumes.get(step.subject).remove()
                    else:
                        asked(partial(self._restore, progress))
                held.journal(**note, step=str(step), what=plans.what(step), done=True)
            # No release of it: there is no generation that could be gone back to.
            held.commit(**note, result="restored", holder=state.holder())

    def _restore(self, progress: console.Progress) -> None:
        volumes = {each: names.prefix(self.into) + each for each in plans.RESTORED}
        # Left by a restore that was killed. Others may be at work for somebody else.
        for container in engine_facts.one_offs(self.engine, self.name):
            mounted = {each.get("Name") for each in container.attrs.get("Mounts") or ()}
            if mounted & set(volumes.values()):
                container.remove(force=True)
        stack, words = plans.restorer(self.platform, self.wanted.words, volumes)
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            path = Path(folder) / f"{stack.project}.json"
            path.write_text(stack.text())
            command = compose.run_once(stack.project, path, SERVICE, *words)
            backup.ask(self.layout, self.name, command, progress, following=self.command)


def prepare(
    layout: Layout,
    source: tuple[str, Environment],
    into: tuple[str, Environment],
    reached: target.Target,
    to: str,
) -> Into:
    """Read what there is of both, and plan; nothing is touched. Raises Refused."""
    name, environment = source
    other, its = into
    if other == name:
        raise Refused(f"{other} is {name} itself: without --into it is restored in place")
    if its.host != environment.host:
        raise Refused(
            f"{other} is on another host than {name} ({its.host}, {environment.host}): its volumes "
            "cannot be reached from there"
        )
    planned = prepared(layout, name, environment, reached, to)
    running = engine_facts.read(reached.engine, other)
    if running.containers:
        raise Refused(
            f"{other} has containers. Its data is overwritten only while it is stopped",
            next_command=f"invoke down --env {other}",
        )
    return Into(
        *(layout, name, other, reached, planned.plan.target, planned.platform),
        _steps(other, running, planned.plan.target),
        planned.toolbox,
        _owners(planned),
        released=_released(other, running, planned.toolbox),
    )


def _steps(name: str, running: EngineFacts, wanted: plans.Target) -> tuple[Step, ...]:
    copies = [
        each
        for each in names.tier_volumes(name)
        if each in running.volumes and each != names.backup_volume(name)
    ]
    return (
        *(
            Step(Kind.VOLUME, each, "does not exist")
            for each in names.volumes(name)
            if each not in running.volumes
        ),
        Step(Kind.RESTORE, plans.DATA, f"to {wanted.said}"),
        *(Step(Kind.ASIDE, each, "is made anew from what is restored") for each in copies),
    )


def _owners(planned: Restore) -> dict[str, tuple[str, str]]:
    server = planned.platform.document["services"][members.FIRST]["image"]
    return {
        members.FIRST: (server, "/var/lib/postgresql"),
        "files": (planned.way.images["backend"], "/var/lib/slipway/files"),
    }


def _released(name: str, running: EngineFacts, toolbox: str) -> bool:
    volume = names.state_volume(name)
    if volume not in running.volumes:
        return False
    return state_facts.read(toolbox, volume).committed is not None
