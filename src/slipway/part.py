"""Carrying out the restore of one collection or one document, while the environment serves."""

from __future__ import annotations

import secrets
import shlex
import uuid
from dataclasses import dataclass

from slipway import backup, console, edge, state, target
from slipway.commands import parts as commands
from slipway.config import names
from slipway.config.environment import Environment
from slipway.errors import CommandFailed, Refused, SlipwayError
from slipway.facts import backup as backup_facts
from slipway.facts import engine as engine_facts
from slipway.facts import parts as facts
from slipway.facts import state as state_facts
from slipway.facts.backup import Points
from slipway.facts.engine import Running
from slipway.plans import progress as progress_plans
from slipway.plans import restore as restore_plans
from slipway.plans.part import Plan
from slipway.plans.points import described
from slipway.plans.restore import Target
from slipway.run import Completed, run, run_through

WORKER = "worker"
REFUSED = 2
#: What a service of a release from before this one says to words that it does not know.
UNKNOWN = "invalid choice"
#: What a worker says where whoever it listened to ended too early.
CUT = "cut short"


@dataclass
class Part:
    """A collection or a document of a point on its way back; close it with `forget`.

    `package` is what a worker keeps it under until then.
    """

    name: str
    reached: target.Target
    wanted: Target
    collection: str
    document: str
    to: str
    toolbox: str
    package: str

    @property
    def command(self) -> str:
        """What was typed."""
        chosen = [("--to", self.to), ("--collection", self.collection)]
        chosen.append(("--document", self.document))
        words = [f"{flag} {shlex.quote(value)}" for flag, value in chosen if value]
        return " ".join(["invoke restore --env", self.name, *words])

    def fetch(self, container: str, progress: console.Progress) -> Plan:
        """Take it out of the point, hand it to a worker, and ask what it would change."""
        shown = progress_plans.Progress()

        def on_line(line: str) -> None:
            if said := shown.line(line):
                progress(said)

        source = commands.extract(container, self.wanted.words, self.collection, self.document)
        sink = commands.receive(self._worker(), self.package)
        taken, compared = run_through(source, sink, on_line=on_line)
        if taken.exit_code != 0 and UNKNOWN in taken.errors:
            raise self._unknown()
        if taken.exit_code != 0 and (
            compared.exit_code == 0 or CUT in compared.errors or _explained(taken)
        ):
            failed = CommandFailed(source, taken.exit_code, taken.errors.splitlines())
            following = f"invoke backup.list --env {self.name}"
            raise backup.complaint(self.name, failed, "nothing else", following)
        if compared.exit_code != 0:
            raise self._refused(compared)
        found = facts.parse(backup_facts.answer(compared.output)["compared"])
        plan = Plan(self.name, self.wanted, found, self.document)
        if plan.hopeless:
            raise Refused(
                f"{plan.subject} cannot be brought back from this point: its file is in no point, "
                "and its passages would have to be made from that",
                next_command=f"invoke backup.list --env {self.name}",
            )
        return plan

    def put(self, plan: Plan) -> None:
        """Do what was planned under the lease, so that no release or restore begins meanwhile."""
        with state.opened(self.name, self.toolbox, purpose=f"restore of {plan.subject}") as held:
            known = state_facts.parse(held.read())
            restore_plans.refuse_unfinished(self.name, known.journal)
            held.check()
            done = run(commands.put(self._worker(), self.package, plan.part.agreed), check=False)
            if done.exit_code != 0:
                raise self._refused(done)
        state.note(self.name, self.toolbox, kind="restore", result="restored", reason=plan.done)

    def forget(self) -> None:
        """Remove what a worker keeps; what cannot be removed now goes by itself within an hour."""
        try:
            run(commands.discard(self._worker(), self.package), check=False, timeout=60)
        except SlipwayError as error:
            console.warn(f"what was taken out of the point goes within an hour: {error.message}")

    def _worker(self) -> str:
        running = engine_facts.running(self.reached.engine, self.name)
        return _worker(self.name, running)

    def _refused(self, done: Completed) -> SlipwayError:
        """What a worker says that did not do it."""
        said = [line for line in done.errors.splitlines() if line.strip()] or ["it says nothing"]
        message = said[-1].removeprefix("slipway-backend: ")
        if UNKNOWN in message:
            return self._unknown()
        kind = Refused if done.exit_code == REFUSED else SlipwayError
        return kind(f"A worker of {self.name}: {message}", next_command=self.command)

    def _unknown(self) -> Refused:
        return Refused(
            f"The release of {self.name} cannot restore a part yet",
            next_command=f"invoke release --env {self.name}",
        )


def prepare(
    name: str,
    environment: Environment,
    reached: target.Target,
    *,
    to: str,
    collection: str,
    document: str,
) -> tuple[Part, str]:
    """Read what there is; the part, and the container that it is taken out in. Raises Refused."""
    if not collection and not _is_id(document):
        raise Refused(
            f"{document!r} is no id of a document: say in which --collection its name is",
            next_command=f"invoke restore --env {name} --collection NAME "
            f"--document {shlex.quote(document)}",
        )
    running = engine_facts.read(reached.engine, name)
    volume = names.state_volume(name)
    if volume not in running.volumes:
        raise Refused(f"{name} was never released", next_command=f"invoke release --env {name}")
    toolbox = engine_facts.toolbox(reached.engine, environment.registry)
    known = state_facts.read(toolbox, volume)
    restore_plans.refuse_unfinished(name, known.journal)
    container = backup.require(name, environment, running)
    wanted = _wanted(name, to, backup.require_points(name, container), known.now)
    # Before minutes are spent on what nobody could put back.
    _worker(name, running)
    given = Part(*(name, reached, wanted, collection, document, to, toolbox), secrets.token_hex(8))
    return given, container


def _wanted(name: str, to: str, points: Points, now: float) -> Target:
    """What is meant; the newest point where nothing is said.

    At the end of the archive, what was deleted a moment ago is deleted already.
    """
    if to:
        return restore_plans.target(name, to, points, now)
    newest = points.newest
    if newest is None:
        raise Refused(f"{name} has no point yet", next_command=f"invoke backup --env {name}")
    return Target(newest.id, ("--point", newest.id), described(newest, now), newest.time)


def _worker(name: str, running: Running) -> str:
    """The id of a worker that serves: it has the files and the application's role."""
    generation = edge.active(name, running)
    found = () if generation is None else running.of(names.generation_project(name, generation))
    runs = (each.id for each in found if each.service == WORKER and each.serving)
    worker = next(runs, None)
    if worker is None:
        raise Refused(
            f"No worker of {name} runs, and one has to put it back",
            next_command=f"invoke status --env {name}",
        )
    return worker


def _is_id(document: str) -> bool:
    try:
        uuid.UUID(document)
    except ValueError:
        return False
    return True


def _explained(done: Completed) -> bool:
    """Whether the backup service said itself why it failed."""
    try:
        return "error" in backup_facts.answer(done.errors)
    except ValueError:
        return False
