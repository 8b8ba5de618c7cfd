"""Signed documents as OCI artifacts in the site's registry: writing, finding, checking, copying."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic

from slipway.config import keys
from slipway.config.keys import PublicKey, SigningKey
from slipway.errors import Refused, SlipwayError
from slipway.facts import manifest as manifests
from slipway.facts import registry
from slipway.facts.manifest import REPOSITORY, Kind, Manifest
from slipway.facts.registry import Blob, Document

SIGNATURE = "application/vnd.slipway.signature.v1+json"
CONFIG = "application/vnd.slipway.release.config.v1.tar"
_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Signed(Generic[Kind]):
    """A document of the registry: the artifact's digest, and who signed it (None: nobody)."""

    digest: str
    document: Kind
    signer: PublicKey | None


@dataclass(frozen=True)
class Known(Generic[Kind]):
    """A document as it lies in the registry, with nobody's signature checked."""

    digest: str
    document: Kind
    signed_with: str | None


def push(
    to: str,
    document: Kind,
    *,
    tags: Sequence[str],
    key: SigningKey | None,
    subject: Document | None = None,
    layers: Mapping[str, bytes] | None = None,
) -> str:
    """Push a document, signed where there is a key, let `tags` name it, and return its digest.

    `layers` are further contents by media type; `subject` is the artifact that it speaks of.
    """
    content = document.canonical()
    contents = [(document.media_type(), content), *(layers or {}).items()]
    if key is not None:
        signature = {"key": key.id, "signature": keys.encoded(key.sign(content))}
        contents.append((SIGNATURE, json.dumps(signature, sort_keys=True).encode()))
    put_blob(to, REPOSITORY, _EMPTY)
    artifact: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": registry.OCI_MANIFEST,
        "artifactType": document.artifact_type(),
        "config": _descriptor(_EMPTY_TYPE, _EMPTY),
        "layers": [_descriptor(media_type, each) for media_type, each in contents],
    }
    if subject is not None:
        artifact["subject"] = _descriptor(subject.media_type, subject.content)
    for _, each in contents:
        put_blob(to, REPOSITORY, each)
    written = json.dumps(artifact, sort_keys=True, separators=(",", ":")).encode()
    digest = registry.hashed(written)
    for reference in (digest, *tags):
        put_document(to, REPOSITORY, reference, registry.OCI_MANIFEST, written)
    return digest


def find(
    where: str, kind: type[Kind], reference: str, trusted: Sequence[PublicKey], shown: str
) -> Signed[Kind] | None:
    """The document under a tag or digest, its signature checked; None where there is none.

    `shown` is what people call it. Raises Refused when bytes are not those of their digest, when
    the signature does not fit, or when a key made it that is not among `trusted`.
    """
    found = _read(where, kind, reference, shown)
    if found is None:
        return None
    digest, content, signature = found
    signer = None if signature is None else _signer(content, signature, trusted, shown)
    return Signed(digest, manifests.parse(kind, content, shown), signer)


def known(where: str, kind: type[Kind], reference: str) -> Known[Kind] | None:
    """The document under a tag or digest, believed as it is; None where there is none."""
    shown = f"{REPOSITORY}:{reference}"
    found = _read(where, kind, reference, shown)
    if found is None:
        return None
    digest, content, signature = found
    signed_with = None if signature is None else _said(signature, shown)[0]
    return Known(digest, manifests.parse(kind, content, shown), signed_with)


def config(where: str, release: Signed[Manifest], shown: str) -> dict[str, bytes]:
    """The Compose files of a release, each as its manifest says."""
    found = registry.document(where, REPOSITORY, release.digest)
    named = registry.blobs(found.parsed()) if found else ()
    packed = next((each for each in named if each.media_type == CONFIG), None)
    if packed is None:
        raise Refused(f"{shown} has no Compose files", code="bytes-missing")
    content = registry.blob(where, REPOSITORY, packed.digest)
    return manifests.unpack(content, release.document.config, shown)


def point(where: str, digest: str, tag: str) -> None:
    """Let `tag` name an artifact that is there."""
    found = registry.document(where, REPOSITORY, digest)
    if found is None:
        raise SlipwayError(f"The registry at {where} lost {REPOSITORY}@{digest}")
    if registry.digest(where, REPOSITORY, tag) != digest:
        put_document(where, REPOSITORY, tag, found.media_type, found.content)


def image_blobs(where: str, reference: str) -> Iterator[tuple[Document, tuple[Blob, ...]]]:
    """The manifests of an image, named by digest, each with its blobs: what is named comes first.

    Raises Refused when one is not there, or not what its digest says.
    """
    repository, _, digest = reference.partition("@")
    found = registry.document(where, repository, digest)
    if found is None:
        raise Refused(f"The registry at {where} has no {reference}", code="bytes-missing")
    parsed = found.parsed()
    for each in parsed.get("manifests", ()):
        yield from image_blobs(where, f"{repository}@{each['digest']}")
    yield found, registry.blobs(parsed)


def copy_image(source: str, target: str, reference: str) -> int:
    """Copy an image to another registry, only what that lacks; returns the bytes that were sent."""
    repository, _, _ = reference.partition("@")
    sent = 0
    for document, blobs in image_blobs(source, reference):
        for blob in blobs:
            sent += _copy_blob(source, target, repository, blob)
        put_document(target, repository, document.digest, document.media_type, document.content)
    return sent


def copy_artifact(source: str, target: str, digest: str, tags: Sequence[str]) -> None:
    """Copy an artifact of ours to another registry under the same tags."""
    copy_image(source, target, f"{REPOSITORY}@{digest}")
    for tag in tags:
        point(target, digest, tag)


def put_blob(where: str, repository: str, content: bytes) -> None:
    """Push a small blob unless it is there."""
    digest = registry.hashed(content)
    if not registry.has_blob(where, repository, digest):
        _upload(where, repository, digest, len(content), iter((content,)))


def put_document(
    where: str, repository: str, reference: str, media_type: str, content: bytes
) -> None:
    """Push a manifest under a tag or its digest."""
    with registry.connected(where) as http:
        answer = http.put(
            f"/v2/{repository}/manifests/{reference}",
            content=content,
            headers={"content-type": media_type},
        )
    if not answer.is_success:
        raise SlipwayError(
            f"The registry at {where} did not take {repository}:{reference}: "
            f"{answer.status_code} {answer.text[:200]}"
        )


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def _read(
    where: str, kind: type[Kind], reference: str, shown: str
) -> tuple[str, bytes, bytes | None] | None:
    """Digest of the artifact, bytes of the document, and of its signature if there is one."""
    found = registry.document(where, REPOSITORY, reference)
    if found is None:
        return None
    named = {each.media_type: each for each in registry.blobs(found.parsed())}
    if kind.media_type() not in named:
        raise Refused(f"{shown} is no {kind.__name__.lower()} of Slipway", code="not-understood")
    content = registry.blob(where, REPOSITORY, named[kind.media_type()].digest)
    if SIGNATURE not in named:
        return found.digest, content, None
    return found.digest, content, registry.blob(where, REPOSITORY, named[SIGNATURE].digest)


def _said(signature: bytes, shown: str) -> tuple[str, bytes]:
    """The id of the key that a signature names, and its bytes."""
    try:
        said = json.loads(signature)
        return str(said["key"]), keys.decoded(said["signature"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"The signature of {shown} is none", code="signature-wrong") from error


def _signer(
    content: bytes, signature: bytes, trusted: Sequence[PublicKey], shown: str
) -> PublicKey:
    identity, made = _said(signature, shown)
    key = next((each for each in trusted if each.id == identity), None)
    if key is None:
        known = ", ".join(f"{each.name} ({each.id})" for each in trusted) or "none"
        raise Refused(
            f"{shown} is signed with the key {identity}, which is not trusted here "
            f"(trusted: {known})",
            code="unknown-key",
        )
    if not key.signed(content, made):
        raise Refused(
            f"{shown} was altered: the signature of {key.name} is of other bytes",
            code="signature-wrong",
        )
    return key


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": registry.hashed(content), "size": len(content)}


def _copy_blob(source: str, target: str, repository: str, blob: Blob) -> int:
    if registry.has_blob(target, repository, blob.digest):
        return 0
    with registry.streamed(source, repository, blob.digest) as parts:
        # The target hashes what it gets and refuses other bytes than the digest's.
        _upload(target, repository, blob.digest, blob.size, parts)
    return blob.size


def _upload(where: str, repository: str, digest: str, size: int, parts: Iterator[bytes]) -> None:
    with registry.connected(where) as http:
        begun = http.post(f"/v2/{repository}/blobs/uploads/", headers={"content-length": "0"})
        begun.raise_for_status()
        answer = http.put(
            http.base_url.join(begun.headers["location"]).copy_merge_params({"digest": digest}),
            content=parts,
            headers={
                "content-length": str(size),
                "content-type": "application/octet-stream",
            },
        )
    if not answer.is_success:
        raise SlipwayError(
            f"The registry at {where} did not take {repository}@{digest}: "
            f"{answer.status_code} {answer.text[:200]}"
        )
