"""Rebuilding an environment on a host that has nothing of it, out of a copy of its backups."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import docker

from slipway import backup, checks, console, restore, sources, state, target, ways_back
from slipway import build as builder
from slipway.apply import ground
from slipway.commands import backup as commands
from slipway.config import names, secrets
from slipway.config.backup import SERVICE
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.config.secrets import BACKUP_SUPPLIED, CONSUMERS, Parts
from slipway.errors import Refused, SlipwayError
from slipway.facts import backup as facts
from slipway.facts import engine as engine_facts
from slipway.facts import host
from slipway.facts import state as state_facts
from slipway.facts import target as target_facts
from slipway.facts.engine import EngineFacts
from slipway.plans import disaster as plans
from slipway.plans import release as release_plans
from slipway.plans import restore as restore_plans
from slipway.plans.disaster import Origin, Plan
from slipway.plans.steps import Kind, Step
from slipway.releasing import Outcome
from slipway.run import AnswerLost, asked, run
from slipway.state import State

KEY = "backup_key"
#: What this toolkit speaks with: the service that reads repositories, and the keeper of the state.
TOOLS = ("backup", "toolbox")
MISSING_FOLDER = "bind source path does not exist"


@dataclass
class Disaster:
    """One recovery: what is rebuilt out of what, with which tools and secrets.

    `given` are the key, and what else the second repository is reached with; `words` is what was
    typed of them, and `unread` what of the repository cannot be restored.
    """

    layout: Layout
    name: str
    environment: Environment
    reached: target.Target
    plan: Plan
    tools: Mapping[str, str]
    given: Mapping[str, str]
    words: str
    unread: tuple[str, ...]

    @property
    def engine(self) -> docker.DockerClient:
        """The engine that the environment comes up on."""
        return self.reached.engine

    @property
    def command(self) -> str:
        """What goes on with it when it is killed."""
        return f"invoke restore --env {self.name} --to {self.plan.target.to}{self.words}"

    def apply(self) -> Outcome:
        """Bring ledger and secrets back, then restore and release as in any environment."""
        if self.plan.steps:
            self._bring_state()
        return restore.prepare(
            *(self.layout, self.name, self.environment, self.reached, self.plan.target.to),
            tool=self.tools["backup"],
            words=self.words,
        ).apply()

    def _bring_state(self) -> None:
        """Carry out the steps up to the ledger, under the lease of what is to come.

        The journal is in the first volume that is made, so that nothing is there without it.
        """
        early = [names.state_volume(self.name), *names.secret_volumes(self.name).values()]
        note = plans.note(self.plan, self.command)
        self._make(early)
        purpose = f"recovery from {self.plan.origin.name}"
        with state.opened(self.name, self.tools["toolbox"], purpose=purpose) as held:
            for step in self.plan.steps:
                held.journal(**note, step=str(step), what=restore_plans.what(step), done=False)
                self._make([*names.volumes(self.name), names.backup_volume(self.name)])
                try:
                    with console.phase(step.phase) as progress:
                        # Each ends what the time before left at work, and goes on where it was.
                        asked(partial(_ACTIONS[step.kind], self, held, progress))
                except state.LeaseLost:
                    raise
                except SlipwayError as error:
                    raise SlipwayError(
                        f"{step.phase}: {error.message}\n{self.name} does not run until its "
                        "recovery has ended; the same again goes on",
                        next_command=error.next_command or self.command,
                    ) from error
                held.journal(**note, step=str(step), what=restore_plans.what(step), done=True)

    def _make(self, wanted: list[str]) -> None:
        """Make those of these volumes that are not there."""
        there = engine_facts.read(self.engine, self.name).volumes
        steps = tuple(Step(Kind.VOLUME, each, "") for each in wanted if each not in there)
        ground(release_plans.Plan(self.name, 0, None, steps), self.engine)

    def adopt(self, held: State, progress: console.Progress) -> None:
        """Make the copy of the repository the environment's own."""
        self._end_one_offs(held)
        volume = names.backup_volume(self.name)
        folder = self.plan.origin.folder
        command = commands.adopt(self.tools["backup"], _labels(self.name), folder, volume)
        backup.ask(self.layout, self.name, command, progress, following=self.command)

    def state(self, held: State, _progress: console.Progress) -> None:
        """Restore the state, all but what belongs to a run that is over."""
        self._end_one_offs(held)
        own = names.backup_volume(self.name) if self.plan.origin.folder else ""
        command = commands.state(
            *(self.tools["backup"], _labels(self.name), self.plan.point.id),
            *(names.state_volume(self.name), own, self.plan.origin.policy),
        )
        _told(self.plan.origin, command, self.given)

    def hand_out(self, held: State, _progress: console.Progress) -> None:
        """Give the service that restores its key, and what it restores into to its readers."""
        held.put_secrets(self.given, replace=True)
        consumer = CONSUMERS[SERVICE]
        values = held.secrets(consumer.optional)
        own = secrets.files(SERVICE, values, Parts(backups=True))
        held.hand_out({SERVICE: {"user": consumer.user, "files": own}})
        for volume, (user, mode) in plans.OWNERS.items():
            held.check()
            named = names.prefix(self.name) + volume
            run(commands.own(self.tools["backup"], named, user, mode), timeout=120)

    def _end_one_offs(self, held: State) -> None:
        """End what a recovery that was killed left at work."""
        for container in engine_facts.one_offs(self.engine, self.name):
            held.check()
            container.remove(force=True)


_ACTIONS: dict[Kind, Callable[[Disaster, State, console.Progress], None]] = {
    Kind.ADOPT: Disaster.adopt,
    Kind.STATE: Disaster.state,
    Kind.SECRET: Disaster.hand_out,
}


def prepare(
    layout: Layout,
    name: str,
    environment: Environment,
    reached: target.Target,
    to: str,
    *,
    source: str,
    key: str,
    access: str = "",
) -> Disaster:
    """Look at host, key and repository, and plan; nothing of the environment is touched.

    Raises Refused where the host is not prepared, has the environment already, or where the
    repository cannot be read with the key.
    """
    folder = source if reached.remote else str(Path(source).absolute())
    origin = plans.origin(name, environment, source, folder)
    given = _given(key, access)
    facts_of_host = host.read()
    checks.host(facts_of_host, mend="invoke host.prepare")
    running = engine_facts.read(reached.engine, name)
    tools = _tools(layout, name, environment, reached)
    volume = names.state_volume(name)
    known = state_facts.read(tools["toolbox"], volume) if volume in running.volumes else None
    left = plans.begun(name, running, known)
    plans.refuse_other(name, left, origin)
    _check_room(facts_of_host, name, environment, reached, running, tools)
    said = _survey(name, origin, tools["backup"], given)
    points, owner, now = facts.parse(said), facts.owner(said), time.time()
    plans.refuse_foreign(name, origin, owner)
    gone = ways_back.gone(reached.engine, environment.registry, owner.images)
    wanted = restore_plans.target(name, to, points, now)
    planned = plans.plan(name, origin, wanted, points, left, now, gone)
    words = f" --from {source} --key {key}" + (f" --access {access}" if access else "")
    return Disaster(
        *(layout, name, environment, reached, planned, tools, given, words),
        tuple(plans.unread(points)),
    )


def _check_room(
    facts_of_host: host.HostFacts,
    name: str,
    environment: Environment,
    reached: target.Target,
    running: EngineFacts,
    tools: Mapping[str, str],
) -> None:
    """Refuse a host without room, or whose ports are taken."""
    if reached.remote:
        seen = target_facts.read(tools["toolbox"])
        checks.other_host(seen, environment, running, name)
        return
    checks.disk(facts_of_host, environment.free_disk_gib)
    checks.ports(environment, running, name)


def _tools(
    layout: Layout, name: str, environment: Environment, reached: target.Target
) -> dict[str, str]:
    """The images that read repository and state: this checkout's, or the newest on the engine.

    Raises Refused where neither registry nor engine has one.
    """
    found = _of_checkout(layout, environment)
    for each in TOOLS:
        newest = (
            None
            if each in found
            else engine_facts.newest(reached.engine, environment.registry, each)
        )
        if newest is not None:
            found[each] = newest
    missing = [each for each in TOOLS if each not in found]
    if missing:
        raise Refused(
            f"Neither the registry at {environment.registry} nor the engine has an image "
            f"{' or '.join(missing)} to read the repository with. Nothing was touched",
            next_command=f"invoke build --env {name} "
            + " ".join(f"--service {each}" for each in missing),
        )
    sources.pull(reached.engine, found, {})
    return found


def _of_checkout(layout: Layout, environment: Environment) -> dict[str, str]:
    """The images of this checkout's own code that the registry has."""
    try:
        with engine_facts.client() as here:
            base = checks.base_id(here)
        images = builder.wanted(
            layout, registry_name=environment.registry, base_id=base, targets=TOOLS
        )
    except Refused:
        # Without a base or a registry there may still be what the engine has.
        return {}
    return {each: images.references[each] for each in TOOLS if each not in images.build}


def _given(key: str, access: str) -> dict[str, str]:
    """The secrets by their names: the key, and what the second repository is reached with."""
    known = {secret.name for secret in BACKUP_SUPPLIED if secret.name.startswith("second_")}
    try:
        values = {KEY: Path(key).read_text().strip()}
        if access:
            values |= {
                path.name: path.read_text()
                for path in sorted(Path(access).iterdir())
                if path.name in known
            }
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"{key if not access else f'{key} or {access}'} cannot be read: {error}"
        ) from error
    return values


def _survey(name: str, origin: Origin, image: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What the repository holds. Raises Refused where it cannot be read."""
    command = commands.survey(image, _labels(name), origin.folder, origin.policy)
    return asked(partial(_told, origin, command, given, kind=Refused))


def _told(
    origin: Origin,
    command: commands.Argv,
    given: Mapping[str, str],
    *,
    kind: type[SlipwayError] = SlipwayError,
) -> dict[str, Any]:
    """What the service answers that is told the secrets on its standard input."""
    done = run(command, input=json.dumps(dict(given)), check=False)
    if done.exit_code == 0:
        try:
            return facts.answer(done.output)
        except ValueError:
            raise AnswerLost(f"{origin.name}: the service ended without an answer") from None
    if MISSING_FOLDER in done.errors:
        raise Refused(f"{origin.folder} is no folder of the host. Nothing was touched")
    try:
        answer = facts.answer(done.output)
        said, following = str(answer["error"]), answer.get("next")
    except (KeyError, ValueError):
        said = done.errors.strip() or f"it ended with exit code {done.exit_code}"
        following = None
    untouched = ". Nothing was touched" if kind is Refused else ""
    raise kind(f"{origin.name}: {said}{untouched}", next_command=following)


def _labels(name: str) -> dict[str, str]:
    """What makes a container one of the environment's that run once."""
    return {
        engine_facts.PROJECT_LABEL: names.platform_project(name),
        engine_facts.SERVICE_LABEL: SERVICE,
        engine_facts.ONE_OFF_LABEL: "True",
    }
