"""Signed documents go into a registry and come back only as they were signed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "standin"))

from standin_registry import Registry

from slipway import artifacts
from slipway.config import keys
from slipway.config.keys import PublicKey, SigningKey
from slipway.errors import Refused, SlipwayError
from slipway.facts import manifest as manifests
from slipway.facts import registry
from slipway.facts.manifest import Approval, Evidence, Manifest
from slipway.facts.registry import Document

WHEN = "2026-01-02T03:04:05+00:00"
FILES = {"app.yaml": b"services: {}\n", "platform.yaml": b"services: {}\n"}


@pytest.fixture
def site() -> Iterator[Registry]:
    with Registry() as made:
        yield made


@pytest.fixture
def mirror() -> Iterator[Registry]:
    with Registry() as made:
        yield made


@pytest.fixture(scope="module")
def pair() -> tuple[SigningKey, PublicKey]:
    return new_pair("release")


def new_pair(name: str) -> tuple[SigningKey, PublicKey]:
    key = keys.read_private("a test's", keys.generate("").private, "")
    return key, PublicKey(name, key.key.public_key())


def release(site: Registry, **changes: object) -> Manifest:
    image = site.push_image("slipway/backend", "1234")
    content = {
        "version": "1.0",
        "commit": "",
        "changed": False,
        "created": WHEN,
        "source": "dev",
        "images": {"backend": f"slipway/backend@{image}"},
        "config": manifests.config_hashes(FILES),
        "database": {},
    }
    return Manifest.model_validate(content | changes)


def pushed(site: Registry, key: SigningKey | None) -> str:
    layers = {artifacts.CONFIG: manifests.pack(FILES)}
    return artifacts.push(site.name, release(site), tags=["1.0"], key=key, layers=layers)


def found(
    site: Registry, *trusted: PublicKey, reference: str = "1.0"
) -> artifacts.Signed[Manifest]:
    signed = artifacts.find(site.name, Manifest, reference, trusted, "release 1.0")
    assert signed
    return signed


def refusal(site: Registry, *trusted: PublicKey) -> Refused:
    with pytest.raises(Refused) as refused:
        artifacts.config(site.name, found(site, *trusted), "release 1.0")
    return refused.value


def layer(site: Registry, media_type: str) -> str:
    layers = site.manifest("slipway/releases:1.0")["layers"]
    return next(str(each["digest"]) for each in layers if each["mediaType"] == media_type)


def test_what_was_pushed_is_found_by_tag_and_by_digest(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    key, public = pair
    digest = pushed(site, key)
    for reference in ("1.0", digest):
        signed = found(site, public, reference=reference)
        assert (signed.digest, signed.signer) == (digest, public)
        assert signed.document == release(site)
        assert artifacts.config(site.name, signed, "release 1.0") == FILES
    assert site.manifest("slipway/releases:1.0")["artifactType"] == (
        "application/vnd.slipway.release.v1+json"
    )


def test_pushing_the_same_again_changes_nothing(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    assert pushed(site, pair[0]) == pushed(site, pair[0])
    assert len(site.pushed) == len(set(site.pushed))


def test_what_nobody_signed_has_no_signer(site: Registry) -> None:
    pushed(site, None)
    assert found(site).signer is None


def test_what_is_not_there_is_none(site: Registry) -> None:
    assert artifacts.find(site.name, Manifest, "2.0", (), "release 2.0") is None


def test_a_key_that_is_not_trusted_is_named(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    stranger, _ = new_pair("stranger")
    pushed(site, stranger)
    refused = refusal(site, pair[1])
    assert refused.code == "unknown-key"
    assert f"is signed with the key {stranger.id}" in refused.message
    assert f"trusted: release ({pair[1].id})" in refused.message


@pytest.mark.parametrize(
    "media_type", [Manifest.media_type(), artifacts.CONFIG, artifacts.SIGNATURE]
)
def test_one_altered_byte_is_found(
    site: Registry, pair: tuple[SigningKey, PublicKey], media_type: str
) -> None:
    pushed(site, pair[0])
    site.alter(layer(site, media_type))
    assert refusal(site, pair[1]).code == "bytes-changed"


def test_an_altered_artifact_is_found_by_its_digest(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    digest = pushed(site, pair[0])
    site.alter(digest)
    with pytest.raises(Refused, match="was altered"):
        found(site, pair[1], reference=digest)


def test_a_signature_of_other_bytes_is_found(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    key, public = pair
    pushed(site, key)
    # An attacker who may push: another document, with the signature that was there.
    parts = registry.document(site.name, "slipway/releases", "1.0")
    assert parts
    artifact = parts.parsed()
    other = release(site, version="1.0", source="elsewhere").canonical()
    artifacts.put_blob(site.name, "slipway/releases", other)
    artifact["layers"][0] |= {"digest": registry.hashed(other), "size": len(other)}
    forged = json.dumps(artifact).encode()
    artifacts.put_document(site.name, "slipway/releases", "1.0", registry.OCI_MANIFEST, forged)
    refused = refusal(site, public)
    assert refused.code == "signature-wrong"
    assert "the signature of release is of other bytes" in refused.message


def test_a_document_of_another_kind_is_refused(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    pushed(site, pair[0])
    with pytest.raises(Refused, match="is no evidence of Slipway"):
        artifacts.find(site.name, Evidence, "1.0", (pair[1],), "the evidence")


def test_what_speaks_of_a_release_names_it_as_its_subject(
    site: Registry, pair: tuple[SigningKey, PublicKey]
) -> None:
    digest = pushed(site, pair[0])
    subject = registry.document(site.name, "slipway/releases", digest)
    said = Approval(
        environment="prod", version="1.0", manifest=digest, time=WHEN, expires=WHEN, by="me"
    )
    artifacts.push(site.name, said, tags=["approval"], key=pair[0], subject=subject)
    assert site.manifest("slipway/releases:approval")["subject"]["digest"] == digest


class TestCopies:
    def test_a_mirror_gets_the_same_digests_and_only_what_it_lacks(
        self, site: Registry, mirror: Registry, pair: tuple[SigningKey, PublicKey]
    ) -> None:
        digest = pushed(site, pair[0])
        (image,) = release(site).images.values()
        assert artifacts.copy_image(site.name, mirror.name, image) > 0
        artifacts.copy_artifact(site.name, mirror.name, digest, ["1.0"])
        assert found(mirror, pair[1]).digest == digest
        mirror.pushed.clear()
        assert artifacts.copy_image(site.name, mirror.name, image) == 0
        artifacts.copy_artifact(site.name, mirror.name, digest, ["1.0"])
        assert mirror.pushed == []

    def test_altered_bytes_are_not_taken(self, site: Registry, mirror: Registry) -> None:
        (image,) = release(site).images.values()
        layers = site.manifest(image.partition("@")[2])["layers"]
        site.alter(layers[0]["digest"])
        with pytest.raises(SlipwayError, match="did not take slipway/backend@sha256"):
            artifacts.copy_image(site.name, mirror.name, image)
        assert mirror.manifests == {}

    def test_an_index_brings_its_images(self, site: Registry) -> None:
        one = site.push_image("slipway/edge", "1")
        index = json.dumps({"schemaVersion": 2, "manifests": [{"digest": one}]}).encode()
        put: Document = Document(
            registry.hashed(index), "application/vnd.oci.image.index.v1+json", index
        )
        artifacts.put_document(site.name, "slipway/edge", "all", put.media_type, put.content)
        found = list(artifacts.image_blobs(site.name, f"slipway/edge@{put.digest}"))
        assert [document.digest for document, _ in found] == [one, put.digest]


def test_a_registry_that_is_gone_is_named(site: Registry) -> None:
    site.gone = True
    with pytest.raises(Refused, match=f"The registry at {site.name} does not answer") as refused:
        artifacts.find(site.name, Manifest, "1.0", (), "release 1.0")
    assert refused.value.code == "registry-gone"
