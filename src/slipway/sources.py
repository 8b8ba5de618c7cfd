"""Where a release comes from: the working tree, or what another environment accepted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import ImageNotFound

from slipway import artifacts, checks, console, promotion, publishing, signing
from slipway import build as builder
from slipway.build import Images
from slipway.commands import engine as commands
from slipway.config import keys
from slipway.config.environment import TREE, Environment
from slipway.config.keys import SigningKey
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import git
from slipway.facts.manifest import Evidence, Gate
from slipway.promotion import Chosen
from slipway.run import run

Timings = dict[str, float]


@dataclass(frozen=True)
class FromTree:
    """A release of the working tree: its images are built where they are not there yet.

    `told` is what a person reads before the plan. `evidence_due`: others take releases from the
    environment, and could not take this one without it being proved once more.
    """

    layout: Layout
    name: str
    environment: Environment
    base_id: str
    images: Images
    draft: publishing.Draft
    key: SigningKey | None
    told: str = ""
    evidence_due: bool = False
    attests: bool = False
    approved_by: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version that the manifest will have."""
        return self.draft.version

    def bring(self, timings: Timings) -> dict[str, str]:
        """Build and push what is new."""
        return builder.build(
            self.layout,
            registry_name=self.environment.registry,
            base_id=self.base_id,
            timings=timings,
        )

    def manifest(self, references: Mapping[str, str]) -> str:
        """Push the manifest, signed if there is a key."""
        return publishing.publish(self.environment.registry, self.draft, references, self.key)

    def attest(self, generation: int, gates: Sequence[Gate]) -> None:
        """Nobody asks a release of the tree for evidence."""

    def settle(self, digest: str, ways: Sequence[str] = ()) -> None:
        """Let others find the manifest, and know what this environment can go back to."""
        publishing.announce(self.environment.registry, self.name, digest, ways)
        takers = promotion.takers(self.layout, self.name)
        if self.key is None and takers:
            console.say(
                f"{self.version} is not signed, so {', '.join(takers)} will not take it; "
                f"{keys.NEW} makes a key for the next release."
            )


@dataclass(frozen=True)
class FromEnvironment:
    """A release that another environment runs, verified; nothing of it is built.

    `layout` is that of the checkout with the release's own Compose files.
    """

    layout: Layout
    name: str
    environment: Environment
    chosen: Chosen
    images: Images
    key: SigningKey | None
    evidence_due: bool

    @property
    def version(self) -> str:
        """The version by its manifest."""
        return self.chosen.version

    @property
    def attests(self) -> bool:
        """Whether others take from here what is accepted here."""
        return self.key is not None

    @property
    def told(self) -> str:
        """The release, who signed it, and what is known of it."""
        return promotion.described(self.chosen)

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Whose approvals it has."""
        return self.chosen.approved_by

    def bring(self, _timings: Timings) -> dict[str, str]:
        """The images as they are: they were verified and copied when the release was taken."""
        return dict(self.images.references)

    def manifest(self, _references: Mapping[str, str]) -> str:
        """The manifest that was taken."""
        return self.chosen.release.digest

    def attest(self, generation: int, gates: Sequence[Gate]) -> None:
        """Push the signed evidence, and leave a copy of it in reports/."""
        if self.key is None:
            return
        where = self.environment.registry
        made = publishing.evidence(where, self.name, self.chosen, generation, gates, self.key)
        path = self.layout.root / "reports" / f"evidence-{self.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(made.canonical())
        verdict = "accepted" if made.accepted else "not accepted"
        console.say(f"{self.name} has {verdict} {self.version}: {self.layout.shown(path)}")

    def settle(self, digest: str, ways: Sequence[str] = ()) -> None:
        """Let others find what runs here, and know what this environment can go back to."""
        publishing.announce(self.environment.registry, self.name, digest, ways)


Source = FromTree | FromEnvironment


@contextlib.contextmanager
def opened(
    layout: Layout, name: str, environment: Environment, version: str, timings: Timings
) -> Iterator[Source]:
    """What would be released to environment `name`, until the block ends.

    Raises Refused when the tree's locks are stale, or when a release that would be taken does not
    hold what its signatures say.
    """
    if environment.source != TREE:
        with promotion.taken(layout, name, environment, version, timings) as taken:
            yield _from_environment(name, environment, taken)
        return
    if version:
        raise Refused(
            f"{name} releases the working tree: --version picks one of what another environment "
            "released",
            next_command=f"invoke release --env {name}",
        )
    checks.locks(layout)
    with engine_facts.client() as here:
        base_id = checks.base_id(here)
    where = environment.registry
    images = builder.wanted(layout, registry_name=where, base_id=base_id)
    draft = publishing.draft(layout, name, where, images, git.read(layout.root))
    key = signing.key(layout)
    yield FromTree(layout, name, environment, base_id, images, draft, key)


def pull(engine: docker.DockerClient, references: Mapping[str, str], timings: Timings) -> None:
    """Have the engine fetch the images that it lacks, before anything is touched."""
    missing = [each for each in references.values() if not _there(engine, each)]
    if not missing:
        return
    with console.phase(f"fetch {len(missing)} images", timings):
        for reference in missing:
            try:
                run(commands.pull(reference), timeout=1800)
            except SlipwayError as error:
                raise Refused(f"{reference} cannot be fetched: {error.message}") from error


def _from_environment(
    name: str, environment: Environment, taken: promotion.Taken
) -> FromEnvironment:
    chosen, key = taken.chosen, None
    takers = promotion.takers(taken.layout, name)
    if takers:
        key = signing.key(taken.layout)
        if key is None:
            raise Refused(
                f"{', '.join(takers)} will want the evidence of {name}, and there is no private "
                f"key to sign it with ({keys.KEY_VARIABLE}, or .slipway/keys/{keys.RELEASE}.key)",
                next_command=keys.NEW,
            )
    references = chosen.release.document.references(environment.registry)
    images = Images(references, dict(chosen.release.document.images))
    due = bool(takers) and _evidence_due(name, environment.registry, chosen)
    return FromEnvironment(taken.layout, name, environment, chosen, images, key, due)


def _evidence_due(name: str, where: str, chosen: Chosen) -> bool:
    """Whether nobody could take this release from here with the evidence that there is."""
    known = artifacts.known(where, Evidence, promotion.evidence_tag(chosen.version, name))
    return known is None or not (
        known.signed_with is not None
        and known.document.manifest == chosen.release.digest
        and known.document.accepted
        and not promotion.expired(known.document.expires)
    )


def _there(engine: docker.DockerClient, reference: str) -> bool:
    try:
        engine.images.get(reference)
    except ImageNotFound:
        return False
    return True


def entry(source: Source, digest: str) -> dict[str, Any]:
    """What the ledger keeps of where a release came from."""
    approved = {"approved_by": list(source.approved_by)} if source.approved_by else {}
    return {"manifest": digest, **approved}
