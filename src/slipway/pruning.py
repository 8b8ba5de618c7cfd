"""Removing what nobody can go back to, so that no disk fills up."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, replace

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from slipway import console, promotion, target
from slipway.commands import registry as commands
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.environment import NAME, Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import inventory
from slipway.facts import state as state_facts
from slipway.facts import target as target_facts
from slipway.plans import prune as plans
from slipway.plans.prune import GIBI, Prune, Ways
from slipway.run import run

STATE_VOLUME = re.compile(rf"slipway-({NAME})-state")


@dataclass(frozen=True)
class Pruning:
    """What is to be pruned: one environment's engine and registry, read with one toolbox."""

    layout: Layout
    name: str
    environment: Environment
    engine: docker.DockerClient
    toolbox: str

    def plan(self, *, collect: bool) -> Prune:
        """What goes; what any environment runs by the registry's announcements stays.

        With `collect` garbage is collected, otherwise only on a disk that is short.

        Raises Refused while another environment on the engine is released, or when the ledger of
        one that takes images from the same registry cannot be read.
        """
        ways = self._here() | self._elsewhere()
        free = target_facts.read(self.toolbox).disk_free
        short = free < 2 * self.environment.free_disk_gib * GIBI
        registry = self.environment.registry
        images = inventory.of_engine(self.engine, registry)
        kept = plans.digests(ways.values(), images) | promotion.in_use(registry)
        return plans.plan(
            kept,
            images,
            inventory.of_registry(registry, kept),
            now=time.time(),
            short=short,
            build_cache_gib=self.environment.retention.build_cache_gib,
            collect=collect or short,
        )

    def apply(self, plan: Prune) -> None:
        """Remove what the plan names; what went meanwhile, or is used by now, is passed over."""
        for image in plan.engine:
            for reference in image.references:
                with contextlib.suppress(ImageNotFound, APIError):
                    self.engine.images.remove(reference)
        for stored in plan.registry:
            inventory.delete(self.environment.registry, stored)
        self.engine.api.prune_builds(keep_storage=plan.build_cache_gib * GIBI, all=True)
        if plan.collect:
            self._collect()

    def _here(self) -> dict[str, Ways]:
        """Every environment on the engine, also one that this checkout knows nothing of."""
        known = environments.names(self.layout)
        found = {}
        for volume in self.engine.volumes.list():
            match = STATE_VOLUME.fullmatch(volume.name or "")
            if match is None:
                continue
            name = match[1]
            state = state_facts.read(self.toolbox, match[0], history=0)
            self._refuse_busy(name, state)
            settings = environments.load(name, self.layout) if name in known else None
            releases = settings.retention.releases if settings else None
            found[name] = Ways(state.ledger, releases)
        return found

    def _elsewhere(self) -> dict[str, Ways]:
        """The environments of this checkout on other engines that share the registry."""
        found = {}
        for name in environments.names(self.layout):
            other = environments.load(name, self.layout)
            if other.host == self.environment.host or other.registry != self.environment.registry:
                continue
            with target.reached(other) as reached:
                volume = names.state_volume(name)
                if volume not in {each.name for each in reached.engine.volumes.list()}:
                    continue
                state = state_facts.read(self.toolbox, volume, history=0)
                self._refuse_busy(name, state)
                found[f"{name} on {other.host}"] = Ways(state.ledger, other.retention.releases)
        return found

    def _refuse_busy(self, name: str, state: state_facts.StateFacts) -> None:
        if state.lease and state.lease["expires"] > state.now:
            raise Refused(
                f"{state.lease['holder']} is busy with {state.lease['purpose']} of {name}: what "
                "it needs is not known yet",
                next_command=f"invoke prune --env {self.name}",
            )

    def _collect(self) -> None:
        """Collect the garbage of a registry on this engine, which is stopped meanwhile."""
        found = inventory.registry_container(self.engine, self.environment.registry)
        if found is None:
            console.say(
                f"The registry at {self.environment.registry} is not on this engine: collect its "
                "garbage where it is"
            )
            return
        container, image = found
        run(commands.stop(container), timeout=60)
        try:
            run(commands.collect(container, image), timeout=900)
        finally:
            run(commands.start(container), timeout=60)


def after_release(pruning: Pruning) -> None:
    """Prune the engine at the end of a release; what cannot be pruned now is a warning.

    The registry is left to `invoke prune`: other checkouts may have environments that go back to
    what it holds, and it does not answer while its garbage is collected.
    """
    try:
        plan = replace(pruning.plan(collect=False), registry=(), collect=False)
        if plan.empty:
            return
        with console.phase(f"prune {len(plan.engine)} images"):
            pruning.apply(plan)
    except (SlipwayError, DockerException, RequestException) as error:
        said = error.message if isinstance(error, SlipwayError) else error
        console.warn(f"not everything was pruned that could be: {said}")
