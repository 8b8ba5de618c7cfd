"""Carrying out a plan: every step is journalled before and after, and can be done twice."""

from __future__ import annotations

import contextlib
import datetime
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker

from slipway import (
    acceptance,
    access,
    backup,
    console,
    data_tier,
    diagnosis,
    edge,
    generations,
    hand_over,
    proof,
)
from slipway.commands import compose
from slipway.config import certificates, members, names, secrets
from slipway.config.environment import TREE, Environment
from slipway.config.layout import Layout
from slipway.config.secrets import Parts
from slipway.errors import CommandFailed, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import Container
from slipway.facts.manifest import Gate
from slipway.facts.stacks import numbered
from slipway.plans import drift, figures, stacks
from slipway.plans.data_tier import replicated
from slipway.plans.diagnosis import BACKEND_PORT, Code
from slipway.plans.figures import Counts
from slipway.plans.release import Plan
from slipway.plans.steps import Kind, Step
from slipway.run import run
from slipway.state import LeaseLost, State

POLL_SECONDS = 0.5
SOAK_POLL_SECONDS = 2.0
# A migration ends its own waits for locks, and an index of a large table takes hours.
MIGRATION_LIMIT_SECONDS = 24 * 3600
ONCE_LIMIT_SECONDS = 600


def ground(plan: Plan, engine: docker.DockerClient) -> None:
    """Make the networks and volumes of a plan; networks between our containers have no way out."""
    labels = {names.ENVIRONMENT_LABEL: plan.environment}
    for step in plan.of(Kind.NETWORK):
        short = step.subject.removeprefix(names.prefix(plan.environment))
        engine.networks.create(
            step.subject,
            driver="bridge",
            internal=short in names.INTERNAL_NETWORKS,
            options=names.NETWORK_OPTIONS.get(short),
            labels=labels,
        )
    for step in plan.of(Kind.VOLUME):
        engine.volumes.create(step.subject, labels=labels)


@dataclass
class Release:
    """One release under way: what is wanted, where, and the handles to do it with."""

    layout: Layout
    name: str
    environment: Environment
    images: Mapping[str, str]
    version: str
    plan: Plan
    engine: docker.DockerClient
    state: State
    timings: dict[str, float]
    #: The port of this machine at which the environment's edge answers.
    https: int
    #: What the stacks are cut out of, and what the journal and the ledger say of the run.
    resolved: Mapping[str, Any]
    note: Mapping[str, Any]
    #: What ran before, as its release resolved it; None where that is not known.
    before: Mapping[str, Any] | None = None
    #: Whether others take what is accepted here, what each edge had counted beforehand, by its
    #: container, and what when it was asked last. `point` is the recovery point behind it.
    attests: bool = False
    point: str = ""
    began_with: Mapping[str, Counts] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)

    def apply(self) -> None:
        """Carry out the plan; when a step fails, the generation that served goes on serving."""
        for step in self.plan.steps:
            if step.kind not in _ACTIONS:
                continue
            self._journal(step, done=False)
            try:
                with console.phase(step.phase, self.timings):
                    _ACTIONS[step.kind](self, step)
            except LeaseLost:
                # Whoever holds the lease now decides what runs.
                raise
            except Exception:
                self._revert(step)
                raise
            self.done.append(step)
            self._journal(step, done=True)
        # A run that was killed may have kept another platform, which these steps took back.
        self.state.keep("platform.json", self.stack("platform").text())

    def provide_secrets(self, _step: Step) -> None:
        """Make what is missing, renew the certificate when due, give every consumer its files."""
        if self.environment.secrets == "generated":
            self.state.put_secrets(secrets.generate())
        wanted = tuple(secret.name for secret in secrets.SECRETS) + secrets.AUTHORITY
        optional = tuple(secret.name for secret in secrets.KNOWN)
        parts = stacks.parts(self.resolved)
        self._provide_made(parts)
        values = self.state.secrets((*wanted, *optional, secrets.PREVIOUS_JWT))
        if self.environment.secrets == "generated":
            values = self._certified(values)
        certificates.check_pair(values["tls.crt"], values["tls.key"], self.name)
        self.state.hand_out(
            {
                name: {"user": consumer.user, "files": secrets.files(name, values, parts)}
                for name, consumer in secrets.CONSUMERS.items()
            }
        )
        if self.environment.secrets == "generated":
            access.leave(self.layout, self.name, values)

    def _provide_made(self, parts: Parts) -> None:
        """Make what the parts of the platform know each other by, where it is not there yet."""
        if not parts.made:
            return
        self.state.put_secrets(secrets.generate_made(parts))
        if not parts.encrypted:
            return
        certified = tuple(secret.name for secret in secrets.TIER_CERTIFICATES)
        now = datetime.datetime.now(datetime.UTC)
        # All of one authority, or none.
        if len(self.state.secrets(certified)) < len(certified):
            made = certificates.generate_tier(now)
            made |= certificates.generate_backup(now, made) if parts.backups else {}
            self.state.put_secrets(made, replace=True)
        elif parts.backups and not self.state.secrets(("backup.crt",)):
            authority = self.state.secrets(("data_ca.crt", "data_ca.key"))
            self.state.put_secrets(certificates.generate_backup(now, authority), replace=True)

    def change_platform(self, step: Step) -> None:
        """Start or replace one platform service and wait for its health."""
        stack = self.stack("platform")
        if step.subject in members.MEMBERS and replicated(stack.document):
            data_tier.change(self, step)
            return
        self.changed.append(step.subject)
        self.state.keep("platform.json", stack.text())
        hand_over.free_ports(self, stack, step.subject)
        self.up(stack, step.subject, recreate=step.recreate)
        self.wait_for(stack, step.subject)
        hand_over.settle(self, step.subject)

    def migrate(self, step: Step) -> None:
        """Bring the database to the schema of the new images."""
        stack = self.stack("once", step.generation)
        try:
            self._run_once(stack, MIGRATION_LIMIT_SECONDS, "migrate")
        except CommandFailed as error:
            raise diagnosis.migration(error, self.name, self._postgres()) from error
        except SlipwayError as error:
            # It goes on without whoever waited for it.
            self._end_one_offs()
            raise diagnosis.unfinished_migration(error, self.name) from error

    def run_once(self, stack: stacks.Stack, service: str, *words: str) -> None:
        """Run a service of `stack` with these words to its end, beside nothing."""
        try:
            self._run_once(stack, ONCE_LIMIT_SECONDS, service, *words)
        except CommandFailed as error:
            headline = f"{service} {' '.join(words)} of {self.name} failed"
            raise diagnosis.command(error, self.name, headline) from error

    def _run_once(self, stack: stacks.Stack, limit: int, service: str, *words: str) -> None:
        # Left by a release that was killed; two migrations would wait for each other.
        self._end_one_offs()
        with _file(stack) as path:
            self.state.check()
            run(compose.run_once(stack.project, path, service, *words), timeout=limit)

    def _end_one_offs(self) -> None:
        """Remove every container that runs a command once."""
        for container in engine_facts.one_offs(self.engine, self.name):
            self.state.check()
            container.remove(force=True)

    def start(self, step: Step) -> None:
        """Start the new generation beside the old one and wait until all of it is healthy."""
        stack = self.stack("app", step.generation)
        self.state.keep(f"g{step.generation}/app.json", stack.text())
        self.up(stack)
        self.wait_for(stack)

    def switch(self, step: Step) -> None:
        """Switch the edge once the generation is ready; every worker acknowledges."""
        assert step.generation is not None
        self._when_ready(step.generation, edge.switch)

    def _when_ready(
        self, generation: int, ask: Callable[[str, int], dict[str, Any]]
    ) -> dict[str, Any]:
        """What the edge answers once a backend of the generation is ready."""
        project = names.generation_project(self.name, generation)
        deadline = time.monotonic() + self.environment.ready_seconds
        while True:
            container = self._edge()
            self.state.check()
            try:
                return ask(container, generation)
            except edge.GenerationRefused as refused:
                found = engine_facts.running(self.engine, self.name).of(project)
                whole = bool(found) and all(each.serving for each in found)
                if whole and refused.answers and time.monotonic() < deadline:
                    # Healthy by its own check comes before ready: it may still warm up.
                    time.sleep(POLL_SECONDS)
                    continue
                answers = {
                    each.id: [refused.answers[address]]
                    for each in found
                    for address in self._addresses_of(each)
                    if address in refused.answers
                }
                raise diagnosis.containers(
                    self.engine, self.name, found, str(refused.message), answers
                ) from refused

    def drain(self, step: Step) -> None:
        """Wait until no request is in flight on the old generation."""
        old = self._addresses(step.generation)
        edge.finish(self._edge(), old, self.environment.drain_seconds)
        self._refuse_failed_requests()

    def prove(self, _step: Step) -> None:
        """Use the generation as a user would, through the edge, also while another one serves."""
        container, generation = self._edge(), self.plan.generation
        headers = edge.admission(container)
        if edge.status(container)["generation"] == generation:
            self._prove(headers)
            self._refuse_failed_requests()
        else:
            self._prove(headers | self._when_ready(generation, edge.offer))

    def _prove(self, headers: Mapping[str, str]) -> None:
        """Prove what requests with `headers` reach; what was promoted passes the gates as well."""
        promoted = self.environment.source != TREE
        authority = "ca.crt" if self.environment.secrets == "generated" else "tls.crt"
        values = self.state.secrets(("admin_password", authority))
        url, trusted = self.environment.url, values[authority]
        with proof.client(url, trusted, self.https, headers) as http:
            proved = proof.prove(
                http,
                keep=not promoted,
                username=secrets.ADMIN,
                password=values["admin_password"],
                folder=self.layout.samples,
            )
            if promoted:
                self.gates.append(acceptance.proved(proved))
                self.gates.append(acceptance.quality(http, self.layout.samples / "quality"))
                acceptance.refuse_failed(self.gates)

    def let_in(self, _step: Step) -> None:
        """Serve callers again, whom a restore turned away."""
        container = self._edge()
        self.state.check()
        edge.maintain(container, None)

    def soak(self, _step: Step) -> None:
        """Keep the old generation warm, and watch the new one; a rollback may end it."""
        limits = self.environment.soak
        stack = self.stack("app", self.plan.generation)
        self.state.soak(self.version)
        old = self.figures().get(self.plan.previous or 0, figures.NOTHING)
        began = self.figures().get(self.plan.generation, figures.NOTHING)
        restarts = self._restarts(stack)
        deadline = time.monotonic() + limits.seconds
        while time.monotonic() < deadline:
            self.state.check()
            self.wait_for(stack)
            new = self.figures().get(self.plan.generation, figures.NOTHING)
            complaint = figures.complaint(limits, new.since(began), old)
            restarted = self._restarts(stack) - restarts
            if restarted > limits.restarts:
                complaint = f"its containers restarted {restarted} times"
            if complaint:
                raise SlipwayError(
                    f"Generation {self.plan.generation} did not hold: {complaint}",
                    next_command=f"invoke logs --env {self.name} --service backend",
                    code=Code.SOAK_FAILED,
                )
            time.sleep(SOAK_POLL_SECONDS)
        self._refuse_failed_requests()
        self.state.end_soak(f"release {self.version}")

    def figures(self) -> dict[int, figures.Figures]:
        """What the edge counted of each generation; nothing while there is no edge to ask."""
        container = edge.container(self.name, engine_facts.running(self.engine, self.name))
        try:
            return {} if container is None else figures.parse(edge.status(container))
        except SlipwayError:
            return {}

    def count(self) -> dict[str, Counts]:
        """Ask each edge that runs what it counted: also before one is removed."""
        running = engine_facts.running(self.engine, self.name)
        now: dict[str, Counts] = {}
        for name in names.EDGES:
            found = edge.named(self.name, running, name)
            if found is not None and edge.runs(found):
                with contextlib.suppress(SlipwayError):
                    now[found.id] = figures.parse(edge.status(found.id))
        self.counts.update(now)
        return now

    def counted(self) -> dict[str, int] | None:
        """Requests served and failed since the release began; None where no edge counts any."""
        if not any(self.count().values()):
            return None
        return figures.total(self.began_with, self.counts)

    def _refuse_failed_requests(self) -> None:
        """Hold what others are to take to the gate of requests, while there is a way back."""
        gate = acceptance.requests(self.counted()) if self.attests else None
        if gate is not None and not gate.ok:
            self.gates.append(gate)
            acceptance.refuse_failed([gate], again=f"invoke release --env {self.name}")

    def _restarts(self, stack: stacks.Stack) -> int:
        running = engine_facts.running(self.engine, self.name)
        return sum(each.restarts for each in running.of(stack.project))

    def remove_generation(self, step: Step) -> None:
        """Stop and remove a generation that no longer serves."""
        assert step.generation is not None
        self.state.check()
        generations.stop(self.name, step.generation)

    def stack(self, stack: str, generation: int | None = None) -> stacks.Stack:
        """A stack as it is wanted, with the secrets as handed out and the edge that serves."""
        return stacks.without(self.cut(stack, generation), names.other_edge(self.plan.edge))

    def cut(self, stack: str, generation: int | None = None) -> stacks.Stack:
        """A stack as it is wanted, with both edges."""
        number = generation or self.plan.generation
        known = state_facts.parse(self.state.read())
        return stacks.cut(
            numbered(self.resolved, number, known.migrating_release),
            stack,
            project=(
                names.platform_project(self.name)
                if stack == "platform"
                else names.generation_project(self.name, number)
            ),
            environment=self.name,
            release=self.version,
            fingerprints=known.handed,
            generation=None if stack == "platform" else number,
        )

    def _certified(self, values: dict[str, str]) -> dict[str, str]:
        now = datetime.datetime.now(datetime.UTC)
        current = values.get("tls.crt")
        if current and not certificates.due(current, self.environment.domain, now):
            return values
        authority = values if all(name in values for name in secrets.AUTHORITY) else None
        made = certificates.generate(self.environment.domain, now, authority)
        self.state.put_secrets(made, replace=True)
        return values | made

    def up(self, stack: stacks.Stack, *services: str, recreate: bool = False) -> None:
        """Create and start services of `stack`, all when none is named."""
        with _file(stack) as path:
            self.state.check()
            try:
                run(compose.up(stack.project, path, services, recreate=recreate), timeout=600)
            except CommandFailed as error:
                headline = f"{stack.project} could not be started"
                raise diagnosis.command(error, self.name, headline) from error

    def wait_for(self, stack: stacks.Stack, service: str | None = None) -> None:
        """Wait until the containers of `stack` (or of one service) are healthy."""
        services = [service] if service else list(stack.hashes)
        deadline = time.monotonic() + self.environment.ready_seconds
        while True:
            found = [
                each
                for each in engine_facts.running(self.engine, self.name).of(stack.project)
                if each.service in services
            ]
            ready = all(
                sum(each.serving for each in found if each.service == wanted)
                >= stack.replicas(wanted)
                for wanted in services
            )
            if ready:
                return
            gone = [each for each in found if each.restarts > 2 or each.state in {"exited", "dead"}]
            if gone or time.monotonic() > deadline:
                headline = f"{stack.project} did not become healthy"
                if not gone:
                    headline += f" within {self.environment.ready_seconds} s"
                raise diagnosis.containers(self.engine, self.name, found, headline)
            time.sleep(POLL_SECONDS)

    def _addresses(self, generation: int | None) -> list[str]:
        """The edge's names for the backends of a generation: address and port."""
        assert generation is not None
        project = names.generation_project(self.name, generation)
        found = engine_facts.running(self.engine, self.name).of(project)
        return [address for each in found for address in self._addresses_of(each)]

    def _addresses_of(self, container: Container) -> list[str]:
        """The edge's name for one container, where it is a backend."""
        if container.service != "backend":
            return []
        network = names.network(self.name, "edge-app")
        attributes: dict[str, Any] = self.engine.containers.get(container.id).attrs
        address = attributes["NetworkSettings"]["Networks"][network]["IPAddress"]
        return [f"{address}:{BACKEND_PORT}"]

    def _postgres(self) -> str | None:
        """The id of the database's container while it runs."""
        found = engine_facts.running(self.engine, self.name).of(names.platform_project(self.name))
        running = [each.id for each in found if each.service in members.MEMBERS and each.serving]
        return running[0] if running else None

    def _edge(self) -> str:
        container = edge.container(self.name, engine_facts.running(self.engine, self.name))
        if container is None:
            raise SlipwayError(
                f"The edge of {self.name} does not run",
                next_command=f"invoke logs --env {self.name} --service edge",
            )
        return container

    def _journal(self, step: Step, *, done: bool) -> None:
        self.state.journal(**self.note, step=str(step), plan=self.plan.hash, done=done)

    def _revert(self, failed: Step) -> None:
        """Put back what ran before: secrets, the generation that served, the platform under it."""
        if failed.kind is Kind.RETIRE:
            # What is new is proved by then; the next release retires what is left.
            return
        app = failed.kind in _APP_STEPS and self.plan.previous is not None
        try:
            self.state.check()
            taken_back = self._revert_secrets()
            if not (app or taken_back or self.changed):
                return
            if taken_back:
                # Nothing that ran before is ready until the database takes its password again.
                self._revert_platform()
                self._serve_previous()
            if app:
                self._revert_app(failed)
            if not taken_back:
                self._revert_platform()
            self._say_reverted()
        except Exception as error:
            # The first failure is the one to tell; the next release goes on from here.
            console.warn(f"going back failed too: {error}")

    def _revert_secrets(self) -> bool:
        """Give every consumer the secrets that it had, and say whether it had others."""
        serves = self.plan.previous or self.plan.generation
        known = state_facts.parse(self.state.read())
        if self.before is None or serves != known.committed_generation:
            # What the last finished release had is kept, and this one is not of it.
            return False
        try:
            changed = self.state.take_back()
        except LeaseLost:
            raise
        except SlipwayError as error:
            # As a toolbox of an older release does, which cannot take any back.
            console.warn(f"the secrets stay as they were handed out: {error.message}")
            return False
        if not changed:
            return False
        console.say("reverting secrets")
        for consumer in dict.fromkeys(each.partition("/")[0] for each in changed):
            services = secrets.CONSUMERS[consumer].services
            self.changed += [each for each in services if each in names.IN_PLACE]
        return True

    def _serve_previous(self) -> None:
        """Have the edge serve the generation that served, once it is ready again."""
        if self.plan.previous is not None:
            self._when_ready(self.plan.previous, edge.switch)

    def _revert_app(self, failed: Step) -> None:
        """Send traffic back to the generation that served, and remove the new one."""
        assert self.plan.previous is not None
        console.say(f"reverting to generation {self.plan.previous}")
        if failed.kind is not Kind.START:
            edge.switch(self._edge(), self.plan.previous)
        new = Step(Kind.DISCARD, f"generation {self.plan.generation}", "", self.plan.generation)
        self.remove_generation(new)

    def _revert_platform(self) -> None:
        """Put the services that were changed back, in the opposite order."""
        if not self.changed or self.before is None:
            return
        older = replace(self, resolved=self.before)
        changed = [each for each in dict.fromkeys(self.changed) if each in names.IN_PLACE]
        if not set(self.changed) <= set(names.IN_PLACE):
            older = hand_over.put_back(older)
        old = older.stack("platform")
        self.state.keep("platform.json", old.text())
        if data_tier.touches(changed, old, self.stack("platform")):
            data_tier.put_back(older)
            return
        for service in reversed(changed):
            console.say(f"reverting {service}")
            if service not in old.hashes:
                data_tier.dismiss(self, Step(Kind.DISMISS, service, "was not there before"))
                continue
            self.up(old, service)
            self.wait_for(old, service)

    def _say_reverted(self) -> None:
        """Compare what runs with what was released before, and say so."""
        known = state_facts.parse(self.state.read())
        running = engine_facts.read(self.engine, self.name)
        active = edge.active(self.name, running)
        found = drift.drift(self.name, running, known, active)
        if known.committed is None or found is None:
            return
        wrong = [str(each) for each in found]
        # The door stays as it is, whatever is released.
        images = {*known.committed["images"].values(), *hand_over.door_images(running, self.name)}
        wrong += [
            f"{each.name}: image {each.image} is not of {known.committed['version']}"
            for each in running.containers
            if each.image not in images
        ]
        if wrong:
            console.warn("not everything is as it was before:\n" + "\n".join(wrong))
        else:
            console.say(
                f"{self.name} runs {known.committed['version']} as before: generation {active}, "
                f"the images of all {len(running.containers)} containers are those it was "
                "released with"
            )


_APP_STEPS = {Kind.START, Kind.SWITCH, Kind.DRAIN, Kind.PROVE, Kind.SOAK}

_ACTIONS: dict[Kind, Callable[[Release, Step], None]] = {
    Kind.SECRET: Release.provide_secrets,
    Kind.PLATFORM: Release.change_platform,
    Kind.MEMBER: Release.change_platform,
    Kind.SWITCHOVER: data_tier.hand_over,
    Kind.DISMISS: data_tier.dismiss,
    Kind.BESIDE: hand_over.beside,
    Kind.HAND_OVER: hand_over.hand_over,
    Kind.LEAVE: hand_over.leave,
    Kind.DISCARD: Release.remove_generation,
    Kind.POINT: backup.before_migration,
    Kind.MIGRATE: Release.migrate,
    Kind.START: Release.start,
    Kind.SWITCH: Release.switch,
    Kind.DRAIN: Release.drain,
    Kind.PROVE: Release.prove,
    Kind.SOAK: Release.soak,
    Kind.RETIRE: Release.remove_generation,
    Kind.OPEN: Release.let_in,
}


@contextlib.contextmanager
def _file(stack: stacks.Stack) -> Iterator[Path]:
    """The stack as a file for as long as one command reads it."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        path = Path(folder) / f"{stack.project}.json"
        path.write_text(stack.text())
        yield path
