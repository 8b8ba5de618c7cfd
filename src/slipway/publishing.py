"""What a good release leaves in the registry for others to take: its manifest, signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from slipway import artifacts, console, promotion, state
from slipway.build import Images
from slipway.config.keys import SigningKey
from slipway.config.layout import Layout
from slipway.errors import SlipwayError
from slipway.facts import manifest as manifests
from slipway.facts import registry
from slipway.facts.git import GitFacts
from slipway.facts.manifest import REPOSITORY, Approval, Evidence, Gate, Kind, Manifest
from slipway.promotion import Chosen

SHORT = 9
#: Evidence and approvals of so long ago say nothing of today's certificates, data and people.
VALID = timedelta(days=30)


@dataclass(frozen=True)
class Draft:
    """A release before it is built: its version, and what its manifest says beside the images."""

    version: str
    content: Mapping[str, Any]
    files: Mapping[str, bytes]

    def manifest(self, references: Mapping[str, str]) -> Manifest:
        """The manifest of these images, which are named as the engine pulls them."""
        return Manifest.model_validate(
            {
                **self.content,
                "version": self.version,
                "images": _without_host(references),
                "created": artifacts.now().isoformat(timespec="seconds"),
            }
        )


def draft(layout: Layout, name: str, where: str, images: Images, tree: GitFacts) -> Draft:
    """What this checkout would release to environment `name`, which pushes to registry `where`.

    The version is the commit, nine digits of it. A changed tree, and other images under the same
    commit, get six digits of a hash behind it: a version never names two things.
    """
    files = manifests.config_files(layout)
    content = {
        "commit": tree.commit,
        "changed": tree.changed,
        "source": name,
        "config": manifests.config_hashes(files),
        "database": {"revision": manifests.revision(layout)},
    }
    commit = tree.commit[:SHORT] or "unversioned"
    made_of = json.dumps([content, dict(images.identities)], sort_keys=True)
    digits = hashlib.sha256(made_of.encode()).hexdigest()[:6]
    if tree.commit and not tree.changed:
        known = artifacts.known(where, Manifest, commit)
        same = known is None or (
            not images.build and _same(known.document, content, images.references)
        )
        if same:
            return Draft(commit, content, files)
    return Draft(f"{commit}-{digits}", content, files)


def _same(known: Manifest, content: Mapping[str, Any], references: Mapping[str, str]) -> bool:
    return known.images == _without_host(references) and all(
        getattr(known, key) == value for key, value in content.items()
    )


def _without_host(references: Mapping[str, str]) -> dict[str, str]:
    return {name: reference.partition("/")[2] for name, reference in references.items()}


def publish(where: str, draft: Draft, references: Mapping[str, str], key: SigningKey | None) -> str:
    """Push the manifest, signed where there is a key, under its digest alone; returns that.

    Nobody finds it before it is announced. One that is there already is taken as it is, unless it
    was signed with another key, or with none and now there is one.
    """
    manifest = draft.manifest(references)
    known = artifacts.known(where, Manifest, draft.version)
    if known is not None and _same(known.document, draft.content, references):
        if key is None or known.signed_with == key.id:
            return known.digest
        manifest = known.document
    layers = {artifacts.CONFIG: manifests.pack(draft.files)}
    return artifacts.push(where, manifest, tags=(), key=key, layers=layers)


def announce(where: str, name: str, digest: str, ways: Sequence[str] = ()) -> None:
    """Say that environment `name` runs the release whose manifest has this digest.

    `ways` are the manifests of what it can go back to, so that nobody prunes them; without any,
    those that were named before stay.
    """
    found = artifacts.known(where, Manifest, digest)
    assert found is not None, f"{REPOSITORY}@{digest} was pushed before"
    artifacts.point(where, digest, found.document.version)
    artifacts.point(where, digest, promotion.running_tag(name))
    here = (each for each in ways if registry.document(where, REPOSITORY, each) is not None)
    for place, way in enumerate(here):
        artifacts.point(where, way, promotion.way_back_tag(name, place))


def announce_again(where: str, name: str, digest: str, ways: Sequence[str] = ()) -> None:
    """Say that environment `name` runs an earlier release again, as far as that can be told.

    A release that is gone back to need not have a manifest, and the registry need not answer: what
    runs is not touched by either.
    """
    try:
        if digest and artifacts.known(where, Manifest, digest) is not None:
            announce(where, name, digest, ways)
            return
        reason = f"the registry at {where} has no manifest of it"
    except SlipwayError as error:
        reason = error.message
    console.warn(
        f"others are not told that {name} runs an earlier release again, and find what it ran "
        f"before: {reason}"
    )


def evidence(
    where: str,
    name: str,
    chosen: Chosen,
    generation: int,
    gates: Sequence[Gate],
    key: SigningKey,
) -> Evidence:
    """Push what environment `name` says of a release; where it accepted it, others find it."""
    now = artifacts.now()
    made = Evidence(
        environment=name,
        version=chosen.version,
        manifest=chosen.release.digest,
        generation=generation,
        time=now.isoformat(timespec="seconds"),
        expires=(now + VALID).isoformat(timespec="seconds"),
        by=state.holder(),
        gates=tuple(gates),
    )
    tags = [promotion.evidence_tag(chosen.version, name)]
    if made.accepted:
        tags.append(promotion.accepted_tag(name))
    attach(where, made, tags=tags, key=key, subject=chosen.release.digest)
    return made


def approval(name: str, chosen: Chosen) -> Approval:
    """That this process's user wants a release in environment `name`."""
    now = artifacts.now()
    return Approval(
        environment=name,
        version=chosen.version,
        manifest=chosen.release.digest,
        time=now.isoformat(timespec="seconds"),
        expires=(now + VALID).isoformat(timespec="seconds"),
        by=state.holder().partition(" ")[0],
    )


def attach(
    where: str,
    document: Kind,
    *,
    tags: Sequence[str],
    key: SigningKey,
    subject: str,
) -> str:
    """Push what speaks of the release whose manifest has the digest `subject`."""
    release = registry.document(where, REPOSITORY, subject)
    return artifacts.push(where, document, tags=tags, key=key, subject=release)
