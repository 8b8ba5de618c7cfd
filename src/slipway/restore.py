"""Carrying out a restore: what is there is kept, stopped, overwritten, and started again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import docker

from slipway import (
    backup,
    console,
    data_tier,
    edge,
    generations,
    hooks,
    releasing,
    state,
    target,
    ways_back,
)
from slipway import preview as previews
from slipway.apply import Release, ground
from slipway.build import Images
from slipway.commands import backup as backup_commands
from slipway.commands import compose
from slipway.config import backup as backup_settings
from slipway.config import members, names
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import release as release_plans
from slipway.plans import restore as plans
from slipway.plans.restore import Have, Plan
from slipway.plans.stacks import Stack
from slipway.plans.steps import Kind, Step
from slipway.releasing import Outcome, Wanted
from slipway.run import asked
from slipway.state import State
from slipway.target import Target
from slipway.ways_back import Way

MESSAGE = "Data is being restored. Please try again later."


@dataclass
class Restore:
    """One restore under way: what is restored where, the release that comes up on it, the handles.

    `generations` are those that the ledger had when it was planned; `note` is what journal and
    ledger say of it. On a host that had nothing, `tool` is the image of the backup service that
    restores, because the release's own may be gone, and `words` are what else was typed.
    `without_point` is why nothing is kept of what is there now.
    """

    layout: Layout
    name: str
    environment: Environment
    reached: Target
    plan: Plan
    way: Way
    kind: str
    platform: Stack
    begun: plans.Unfinished | None
    generations: tuple[int, ...]
    toolbox: str
    tool: str = ""
    words: str = ""
    without_point: str = ""
    note: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def engine(self) -> docker.DockerClient:
        """The engine that the environment runs on."""
        return self.reached.engine

    @property
    def command(self) -> str:
        """What goes on with it when it is killed."""
        to = self.plan.target.to
        if self.kind == "restore":
            return f"invoke restore --env {self.name} --to {to}{self.words}"
        return f"invoke rollback --env {self.name} --to {self.way.version} --with-data {to}"

    def apply(self) -> Outcome:
        """Carry the restore out under the lease; what it leaves, as a release does.

        Until the data is whole the journal stays open, so that nothing is started on it.
        """
        began = time.monotonic()
        begun = self.begun
        self.note = {
            "to": self.plan.target.to,
            "safety": begun.safety if begun else "",
            "closed": self.plan.opens,
            "command": self.command,
            **({"repository": begun.repository} if begun and begun.repository else {}),
            **({"without_point": self.without_point} if self.without_point else {}),
        }
        purpose = f"restore to {self.plan.target.to}"
        self._ground()
        with state.opened(self.name, self.toolbox, purpose=purpose) as held:
            self._refuse_changed(held)
            for step in self.plan.steps:
                self._journal(held, step, done=False)
                try:
                    with console.phase(step.phase, self.timings) as progress:
                        _ACTIONS[step.kind](self, held, step, progress)
                except state.LeaseLost:
                    raise
                except Exception as error:
                    raise self._left(step, error) from error
                except BaseException:
                    self._serve_again(step)
                    raise
                self._journal(held, step, done=True)
            return self._start(held, began)

    def _ground(self) -> None:
        """Make the networks of the container that restores, where an `invoke down` took them."""
        there = self._running().networks
        wanted = [each["name"] for each in self.platform.document["networks"].values()]
        steps = tuple(Step(Kind.NETWORK, each, "") for each in wanted if each not in there)
        ground(release_plans.Plan(self.name, 0, None, steps), self.engine)

    def keep(self, held: State, _step: Step, progress: console.Progress) -> None:
        """Take a point of what is there now."""
        container = backup.container(self.name, self._running())
        if container is None:
            raise SlipwayError(f"The backup service of {self.name} does not run")
        held.check()
        command = backup_commands.take(container, name=backup.called("before-restore"))
        answer = backup.ask(self.layout, self.name, command, progress)
        self.note["safety"] = str(answer["point"]["id"])

    def close(self, held: State, _step: Step, _progress: console.Progress) -> None:
        """Turn callers away, and wait for the requests of those who were let in."""
        container = edge.container(self.name, self._running())
        if container is not None:
            held.check()
            edge.maintain(container, MESSAGE)
            served = [each["address"] for each in edge.status(container)["addresses"]]
            edge.finish(container, served, self.environment.drain_seconds)

    def stop(self, held: State, step: Step, _progress: console.Progress) -> None:
        """Stop and remove a generation, a server of the database, or what servers agree through."""
        held.check()
        if step.generation is not None:
            generations.stop(self.name, step.generation)
            return
        for each in self._running().of(names.platform_project(self.name)):
            if each.service == step.subject:
                data_tier.remove(each)

    def restore(self, held: State, _step: Step, progress: console.Progress) -> None:
        """Restore database and files, by a container of the backup service that is there for it."""
        answer = asked(partial(self._restored, held, progress))
        if last := answer.get("restored", {}).get("last_write"):
            self.note["last_write"] = last

    def _restored(self, held: State, progress: console.Progress) -> dict[str, Any]:
        # One that was left by a restore which was killed writes there too.
        for container in engine_facts.one_offs(self.engine, self.name):
            held.check()
            container.remove(force=True)
        stack, words = plans.restorer(self.platform, self.plan.target.words, image=self.tool)
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            path = Path(folder) / f"{stack.project}.json"
            path.write_text(stack.text())
            held.check()
            command = compose.run_once(stack.project, path, backup_settings.SERVICE, *words)
            return backup.ask(self.layout, self.name, command, progress, following=self.command)

    def aside(self, held: State, step: Step, _progress: console.Progress) -> None:
        """Remove the volume of a server that copies what was restored."""
        if step.subject in self._running().volumes:
            held.check()
            self.engine.volumes.get(step.subject).remove()

    def _start(self, held: State, began: float) -> Outcome:
        """Bring the release up on what was restored, prove it, and let callers in."""
        if not self.way.there:
            self._end_without_release(held)
        wanted = self._wanted()
        compared = releasing.compare(wanted, self.engine)
        steps = release_plans.plan(*compared)
        ground(steps, self.engine)
        if self.plan.opens:
            opening = Step(Kind.OPEN, "edge", "callers are served again")
            steps = replace(steps, steps=(*steps.steps, opening))
        agreed = previews.preview(wanted, self.engine, compared, steps)
        own = hooks.read(self.layout, self.name, self.environment)
        release = Release(
            self.layout,
            self.name,
            self.environment,
            wanted.images.references,
            self.way.version,
            steps,
            self.engine,
            held,
            self.timings,
            self.reached.https,
            resolved=compared[0].resolved,
            note=releasing.note(wanted, self.way.origin),
        )
        try:
            outcome = releasing.carry_out(release, began, agreed, own)
        except state.LeaseLost:
            raise
        except SlipwayError as error:
            raise SlipwayError(
                f"{self.name} was restored, and release {self.way.version} did not come up on it: "
                f"{error.message}",
                next_command=error.next_command,
                code=error.code,
            ) from error
        left = release_plans.plan(*releasing.compare(wanted, self.engine))
        if not left.empty:
            raise SlipwayError(
                f"{self.name} is not what was released; still to do:\n{left}",
                next_command=f"invoke release --env {self.name}",
            )
        return outcome

    def _end_without_release(self, held: State) -> NoReturn:
        """Leave the data whole for another release; always raises SlipwayError."""
        note = {"kind": self.kind, "restore": dict(self.note)}
        held.commit(**note, result="restored", holder=state.holder())
        why = "its ledger knows no release that ended"
        if self.way.gone:
            gone = ", ".join(self.way.gone)
            why = f"neither engine nor registry has {gone} of release {self.way.version}"
        raise SlipwayError(
            f"Database, files, ledger and secrets of {self.name} are as of "
            f"{self.plan.target.said}, but nothing serves them yet: {why}. Another release will",
            next_command=f"invoke release --env {self.name}",
        )

    def _wanted(self) -> Wanted:
        # The state is written by the newest toolbox, whatever comes up.
        references = {**self.way.images, "toolbox": self.toolbox}
        return Wanted(
            *(self.layout, self.name, self.environment, Images(references, references, ())),
            *(self.way.version, self.kind),
            to=self.way.number if self.kind == "rollback" else None,
            resolved=self.way.resolved,
            restores=self.note,
        )

    def _refuse_changed(self, held: State) -> None:
        """Refuse when somebody released, or restored, since the plan was made."""
        known = state_facts.parse(held.read())
        if (plans.unfinished(known.journal), known.generations) != (self.begun, self.generations):
            raise Refused(
                f"{self.name} was changed by somebody else while this restore was planned. Nothing "
                "was touched",
                next_command=self.command,
            )

    def _journal(self, held: State, step: Step, *, done: bool) -> None:
        to = {"to": self.way.number} if self.kind == "rollback" else {}
        note = {"kind": self.kind, **to, "restore": dict(self.note)}
        held.journal(**note, step=str(step), what=plans.what(step), done=done)

    def _left(self, step: Step, error: Exception) -> SlipwayError:
        """What a step that failed leaves, and how it goes on."""
        said = error.message if isinstance(error, SlipwayError) else str(error)
        following = error.next_command if isinstance(error, SlipwayError) else None
        again = self.command
        try:
            reason = said.partition("\n")[0]
            state.note(self.name, self.toolbox, kind="restore", result="failed", reason=reason)
        except SlipwayError as unwritten:
            console.warn(f"the failure could not be written into the ledger: {unwritten.message}")
        where = (
            f"\n{self.name} is not served until a restore has ended: {again} goes on, another --to "
            "begins anew"
        )
        if step.kind in plans.BEFORE:
            where = ". Nothing was touched"
        if step.kind is Kind.POINT:
            where += "; --without-point REASON goes on without one"
        self._serve_again(step)
        return SlipwayError(f"{step.phase}: {said}{where}", next_command=following or again)

    def _serve_again(self, failed: Step) -> None:
        """Let callers in again where all of what they use is still there."""
        if failed.kind is not Kind.POINT or not self.plan.opens:
            return
        try:
            if container := edge.container(self.name, self._running()):
                edge.maintain(container, None)
        except SlipwayError as error:
            console.warn(f"{error.message}; end it: invoke maintenance --env {self.name} off")

    def _running(self) -> EngineFacts:
        return engine_facts.read(self.engine, self.name)


_ACTIONS: dict[Kind, Callable[[Restore, State, Step, console.Progress], None]] = {
    Kind.POINT: Restore.keep,
    Kind.CLOSE: Restore.close,
    Kind.STOP: Restore.stop,
    Kind.RESTORE: Restore.restore,
    Kind.ASIDE: Restore.aside,
}


def prepare(
    layout: Layout,
    name: str,
    environment: Environment,
    reached: target.Target,
    to: str,
    way: Way | None = None,
    *,
    tool: str = "",
    words: str = "",
    without_point: str = "",
) -> Restore:
    """Read what there is, and plan; nothing is touched. Raises Refused.

    `way` is an earlier release that comes up on what was restored, in place of the one that was
    finished last. For what else is said see Restore; with `tool` images of the release may be gone.
    """
    engine = reached.engine
    running = engine_facts.read(engine, name)
    volume = names.state_volume(name)
    if volume not in running.volumes:
        raise Refused(f"{name} was never released", next_command=f"invoke release --env {name}")
    toolbox = engine_facts.toolbox(engine, environment.registry)
    known = state_facts.read(toolbox, volume)
    plans.refuse_without_state(name, known.journal)
    kind = "restore" if way is None else "rollback"
    way = way or ways_back.current(name, engine, environment.registry, toolbox, whole=not tool)
    have = replace(_have(name, environment, running, known), without_point=without_point)
    known_to = have.begun.to if have.begun else ""
    wanted = plans.target(name, to, have.points, have.now, begun=known_to)
    platform = _platform(name, known)
    planned = plans.plan(name, wanted, platform, way.version, have)
    return Restore(
        *(layout, name, environment, reached, planned, way, kind, platform),
        *(have.begun, known.generations, toolbox, tool, words, without_point),
    )


def _have(name: str, environment: Environment, running: EngineFacts, known: StateFacts) -> Have:
    begun = plans.unfinished(known.journal)
    # Somebody may have stopped all of it since; then the service is asked for nothing.
    gone = begun is not None and backup.container(name, running) is None
    container = "" if gone else backup.require(name, environment, running)
    door = edge.container(name, running)
    page = edge.maintenance(door) if door is not None else {"on": False}
    platform = running.of(names.platform_project(name))
    return Have(
        engine=running,
        points=backup.require_points(name, container) if container else None,
        begun=begun,
        serving=any(each.serving for each in platform if each.service in members.MEMBERS),
        closed=bool(page["on"]),
        left_closed=page.get("message") == MESSAGE,
        edge=door is not None,
        now=known.now,
        primary=data_tier.read(name, running).primary,
    )


def _platform(name: str, known: StateFacts) -> Stack:
    """The platform as it was released last, which is what is restored into."""
    document = known.rendered.get("platform.json")
    if document is None or backup_settings.SERVICE not in document["services"]:
        raise Refused(
            f"{name} was released without backups: there is nothing to restore it from",
            next_command=f"invoke release --env {name}",
        )
    project = names.platform_project(name)
    if document["name"] != project:
        raise Refused(
            f"The ledger of {name} is that of another environment ({document['name']}), whose "
            "volumes it names",
            next_command=f"invoke down --env {name} --volumes",
        )
    return Stack(project, document, dict.fromkeys(document["services"], ""))
