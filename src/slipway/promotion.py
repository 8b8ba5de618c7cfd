"""Taking what another environment runs: chosen, verified byte by byte, and resolved as it was."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from slipway import artifacts, console
from slipway.artifacts import Signed
from slipway.config import environment as environments
from slipway.config import keys
from slipway.config.environment import TREE, Environment
from slipway.config.keys import PublicKey
from slipway.config.layout import Layout
from slipway.errors import Refused
from slipway.facts import manifest as manifests
from slipway.facts import registry
from slipway.facts.manifest import REPOSITORY, Approval, Evidence, Kind, Manifest

WAY_BACK = re.compile(r"way-back-\d+-of-.+")


@dataclass(frozen=True)
class Chosen:
    """A verified release, the evidence of the environment before it, and who approved it."""

    release: Signed[Manifest]
    evidence: Signed[Evidence] | None
    approved_by: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """What people call it."""
        return self.release.document.version


@dataclass(frozen=True)
class Taken:
    """A release ready to be resolved and run: its files are there as long as it is held."""

    chosen: Chosen
    layout: Layout


def running_tag(environment: str) -> str:
    """The tag of the release that an environment runs."""
    return f"running-in-{environment}"


def way_back_tag(environment: str, place: int) -> str:
    """The tag of a release that an environment can go back to, by its place among them."""
    return f"way-back-{place}-of-{environment}"


def in_use(where: str) -> frozenset[str]:
    """The digests of the images in registry `where` that some environment runs or may run.

    Whose checkout, and whose engine, an environment is of does not matter: what it runs, can go
    back to and accepted is announced in the registry. Raises Refused when that cannot be read.
    """
    releases = set()
    for tag in registry.tags(where, REPOSITORY):
        if tag.startswith(running_tag("")) or WAY_BACK.fullmatch(tag):
            releases.add(tag)
        elif tag.startswith(accepted_tag("")):
            evidence = artifacts.known(where, Evidence, tag)
            releases.update([evidence.document.manifest] if evidence else ())
    found = (artifacts.known(where, Manifest, each) for each in releases)
    return frozenset(
        reference.partition("@")[2]
        for each in found
        if each is not None
        for reference in each.document.images.values()
    )


def accepted_tag(environment: str) -> str:
    """The tag of the evidence of what an environment accepted last."""
    return f"accepted-in-{environment}"


def evidence_tag(version: str, environment: str) -> str:
    """The tag of an environment's newest evidence of a version."""
    return f"{version}.evidence-of-{environment}"


def approval_tag(version: str, environment: str, key: str) -> str:
    """The tag of a key's approval of a version for an environment."""
    return f"{version}.approved-for-{environment}.{key}"


def choose(
    layout: Layout, name: str, environment: Environment, version: str, *, approvals: bool = True
) -> Chosen:
    """The release that `name` would take, with signature, evidence and approvals verified.

    An environment whose source takes releases itself takes only what that accepted. Everything
    is read from the source's registry and the keys of this checkout; nobody else is asked.
    Raises Refused with the reason and the next command.
    """
    choice = _Choice.of(layout, name, environment)
    with _hinted(f"invoke history --env {environment.source}"):
        if choice.source.source == TREE:
            return choice.released(version)
        return choice.accepted(version, approvals=approvals)


def image(layout: Layout, name: str, environment: Environment, wanted: str) -> str:
    """One image of the release that the source runs, in the environment's registry.

    For work beside a release, such as keeping a secret before the first one: the release must be
    signed by a trusted key, but need not be accepted yet.
    """
    choice = _Choice.of(layout, name, environment)
    with _hinted(f"invoke history --env {environment.source}"):
        manifest = choice.running().document
        if choice.source.registry != environment.registry:
            artifacts.copy_image(
                choice.source.registry, environment.registry, manifest.images[wanted]
            )
    return manifest.references(environment.registry)[wanted]


@contextlib.contextmanager
def taken(
    layout: Layout,
    name: str,
    environment: Environment,
    version: str,
    timings: dict[str, float] | None = None,
) -> Iterator[Taken]:
    """Choose a release, verify every byte of it, bring it to the environment's own registry.

    Its Compose files lie in a folder of their own until the block ends.
    """
    chosen = choose(layout, name, environment, version)
    source = environments.load(environment.source, layout)
    manifest = chosen.release.document
    shown = f"Release {chosen.version}"
    with _hinted(f"invoke history --env {environment.source}"):
        files = artifacts.config(source.registry, chosen.release, shown)
        with console.phase(f"verify {len(manifest.images)} images of {chosen.version}", timings):
            verify_images(source.registry, manifest)
        if source.registry != environment.registry:
            with console.phase(f"copy it to {environment.registry}", timings) as progress:
                progress(_size(_copy(source.registry, environment.registry, chosen)))
    with unpacked(layout, files) as own:
        yield Taken(chosen, own)


@contextlib.contextmanager
def unpacked(layout: Layout, files: dict[str, bytes]) -> Iterator[Layout]:
    """The checkout's layout, but with a release's Compose files, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        manifests.write_config(files, Path(folder))
        yield replace(layout, taken=Path(folder))


def verify_images(where: str, manifest: Manifest) -> None:
    """Fetch and hash every manifest, configuration and layer of a release's images.

    Raises Refused at the first that is not there, or is not what its digest says.
    """
    good: set[str] = set()
    for reference in manifest.images.values():
        repository, _, _ = reference.partition("@")
        for _, blobs in artifacts.image_blobs(where, reference):
            for blob in blobs:
                if blob.digest not in good:
                    registry.check_blob(where, repository, blob.digest)
                    good.add(blob.digest)


def takers(layout: Layout, name: str) -> tuple[str, ...]:
    """The environments that take releases from `name`."""
    return tuple(
        each
        for each in environments.names(layout)
        if environments.load(each, layout).source == name
    )


def described(chosen: Chosen) -> str:
    """What a person reads of a release before it is taken or approved."""
    manifest = chosen.release.document
    signer = chosen.release.signer.name if chosen.release.signer else "nobody"
    lines = [
        f"release {chosen.version} of {manifest.source}, made {manifest.created}, "
        f"signed by {signer}, manifest {chosen.release.digest}"
    ]
    if manifest.changed:
        lines.append("  its tree differed from the commit")
    if chosen.evidence is not None:
        said = chosen.evidence.document
        lines.append(f"  tried in {said.environment} at {said.time} by {said.by}:")
        for gate in said.gates:
            figures = ", ".join(f"{name} {value}" for name, value in gate.figures.items())
            lines.append(f"    {'passed' if gate.ok else 'FAILED'}  {gate.name:<9} {figures}")
    if chosen.approved_by:
        lines.append(f"  approved by {', '.join(chosen.approved_by)}")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Choice:
    """One environment's choice among what its source has."""

    layout: Layout
    name: str
    environment: Environment
    source: Environment
    trusted: Sequence[PublicKey]

    @classmethod
    def of(cls, layout: Layout, name: str, environment: Environment) -> _Choice:
        """Read the keys and the source. Raises Refused when the environment trusts no key."""
        trusted = keys.trusted(layout, name, environment.keys)
        if not trusted:
            raise Refused(
                f"{name} trusts no key (x-slipway/keys in {layout.shown(layout.overlay(name))})",
                next_command=keys.NEW,
                code="unknown-key",
            )
        source = environments.load(environment.source, layout)
        return cls(layout, name, environment, source, trusted)

    def running(self) -> Signed[Manifest]:
        """What the source runs, or is to run: what its own source has where it runs nothing."""
        tag = running_tag(self.environment.source)
        if self.source.source != TREE and (
            registry.digest(self.source.registry, REPOSITORY, tag) is None
        ):
            tag = running_tag(self._first())
        return self._release(tag, "")

    def released(self, version: str) -> Chosen:
        """What the source runs, or version `version` of what was released there."""
        reference = version or running_tag(self.environment.source)
        return Chosen(self._release(reference, version), None)

    def accepted(self, version: str, *, approvals: bool) -> Chosen:
        """What the source accepted last, or version `version` if that was accepted."""
        source = self.environment.source
        if not version:
            last = self._find(Evidence, accepted_tag(source), f"The evidence of {source}")
            if last is None:
                raise Refused(
                    f"{source} has accepted nothing yet that {self.name} could take",
                    next_command=f"invoke release --env {source}",
                    code="evidence-missing",
                )
            self._refuse_gone_back(last.document)
            version = last.document.version
        release = self._release(version, version)
        evidence = self._evidence(release)
        chosen = Chosen(release, evidence)
        if approvals and self.environment.approvals:
            return replace(chosen, approved_by=self._approved_by(release, evidence))
        return chosen

    def _refuse_gone_back(self, accepted: Evidence) -> None:
        """Refuse to choose what the source accepted last when it runs another release by now."""
        source = self.environment.source
        running = registry.digest(self.source.registry, REPOSITORY, running_tag(source))
        if running in {None, accepted.manifest}:
            return
        runs = self.running().document.version
        if runs != accepted.version:
            raise Refused(
                f"{source} runs {runs}, and not {accepted.version}, which it accepted last: name "
                f"the one that {self.name} is to take, with --version",
                next_command=f"invoke release --env {self.name} --version {runs}",
                code="gone-back",
            )

    def _release(self, reference: str, version: str) -> Signed[Manifest]:
        source = self.environment.source
        shown = f"Release {version}" if version else f"The release that {source} runs"
        found = self._find(Manifest, reference, shown)
        first = self._first()
        if found is None:
            what = f"no release {version}" if version else f"nothing that {source} released"
            raise Refused(
                f"The registry at {self.source.registry} has {what} "
                f"(there is no {REPOSITORY}:{reference})",
                next_command=f"invoke release --env {first}",
            )
        if found.signer is None:
            has_key = keys.find(self.layout) is not None
            raise Refused(
                f"{shown} is not signed, so {self.name} does not take it: it was released before "
                f"there was a key. Make one with `{keys.NEW}`; the next release to {first} is "
                f"signed with it",
                next_command=f"invoke release --env {first}" if has_key else keys.NEW,
                code="unsigned",
            )
        manifest = found.document
        if version and manifest.version != version:
            raise Refused(
                f"{shown} is version {manifest.version} by its own manifest", code="bytes-changed"
            )
        if manifest.source != first:
            raise Refused(
                f"{shown} was released to {manifest.source}, and {self.name} takes what "
                f"was released to {first}"
            )
        return found

    def _first(self) -> str:
        """The environment at the beginning of the chain, which releases the tree."""
        first, seen = self.environment.source, [self.name]
        while (source := environments.load(first, self.layout).source) != TREE:
            if first in seen:
                raise Refused(f"x-slipway/source goes round in a circle: {', '.join(seen)}")
            seen.append(first)
            first = source
        return first

    def _evidence(self, release: Signed[Manifest]) -> Signed[Evidence]:
        source, version = self.environment.source, release.document.version
        shown = f"The evidence of {source} for {version}"
        anew = f"invoke release --env {source} --version {version}"
        found = self._find(Evidence, evidence_tag(version, source), shown)
        if found is None:
            raise Refused(
                f"{source} has not tried {version}: there is no evidence",
                next_command=anew,
                code="evidence-missing",
            )
        evidence = found.document
        if found.signer is None:
            raise Refused(f"{shown} is not signed", next_command=anew, code="unsigned")
        _refuse_other(evidence, release, shown, source, anew)
        _refuse_expired(evidence.expires, shown, anew, "evidence-expired")
        failed = [gate.name for gate in evidence.gates if not gate.ok]
        if not evidence.accepted:
            raise Refused(
                f"{source} did not accept {version}: not passed: {', '.join(failed) or 'anything'}",
                next_command=anew,
                code="not-accepted",
            )
        return found

    def _approved_by(
        self, release: Signed[Manifest], evidence: Signed[Evidence]
    ) -> tuple[str, ...]:
        """The keys that approved; as many as the environment wants, and none of the evidence."""
        version = release.document.version
        approve = f"invoke approve --env {self.name} --version {version}"
        by: list[str] = []
        worthless: list[Refused] = []
        for key in self.trusted:
            if evidence.signer is not None and key.id == evidence.signer.id:
                continue
            shown = f"The approval of {version} by {key.name}"
            found = self._find(Approval, approval_tag(version, self.name, key.id), shown)
            if found is None or found.signer is None or found.signer.id != key.id:
                continue
            try:
                _refuse_other(found.document, release, shown, self.name, approve)
                _refuse_expired(found.document.expires, shown, approve, "approval-expired")
            except Refused as refused:
                worthless.append(refused)
            else:
                by.append(f"{found.document.by} ({key.name})")
        wanted = self.environment.approvals
        if len(by) < wanted:
            raise next(iter(worthless), None) or Refused(
                f"{self.name} wants {wanted} approval{'s' if wanted > 1 else ''} of {version} by "
                f"another key than the evidence's, and there {'is' if len(by) == 1 else 'are'} "
                f"{len(by) or 'none'}",
                next_command=approve,
                code="approval-missing",
            )
        return tuple(by)

    def _find(self, kind: type[Kind], reference: str, shown: str) -> Signed[Kind] | None:
        return artifacts.find(self.source.registry, kind, reference, self.trusted, shown)


def _refuse_other(
    said: Evidence | Approval, release: Signed[Manifest], shown: str, environment: str, anew: str
) -> None:
    """Refuse what speaks of another release, or for another environment."""
    if said.manifest != release.digest or said.version != release.document.version:
        raise Refused(
            f"{shown} is of another manifest: {said.manifest}, not {release.digest}",
            next_command=anew,
            code="evidence-of-another",
        )
    if said.environment != environment:
        raise Refused(
            f"{shown} is of the environment {said.environment}",
            next_command=anew,
            code="evidence-of-another",
        )


def expired(expires: str) -> bool:
    """Whether a moment is past."""
    return datetime.fromisoformat(expires) <= artifacts.now()


def _refuse_expired(expires: str, shown: str, anew: str, code: str) -> None:
    if expired(expires):
        raise Refused(f"{shown} expired at {expires}", next_command=anew, code=code)


def _copy(source: str, target: str, chosen: Chosen) -> int:
    """Copy images and artifacts to the environment's own registry; returns the bytes sent."""
    sent = sum(
        artifacts.copy_image(source, target, reference)
        for reference in chosen.release.document.images.values()
    )
    artifacts.copy_artifact(source, target, chosen.release.digest, [chosen.version])
    if chosen.evidence is not None:
        tag = evidence_tag(chosen.version, chosen.evidence.document.environment)
        artifacts.copy_artifact(source, target, chosen.evidence.digest, [tag])
    return sent


def _size(sent: int) -> str:
    return f"{sent / 1e6:.1f} MB that it lacked" if sent else "it had all of it"


@contextlib.contextmanager
def _hinted(next_command: str) -> Iterator[None]:
    """Give refusals that have no next command this one: other versions can be taken."""
    try:
        yield
    except Refused as refused:
        refused.next_command = refused.next_command or next_command
        raise
