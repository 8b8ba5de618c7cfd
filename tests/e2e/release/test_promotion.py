"""A release goes from dev to staging to prod as the same bytes; with a byte altered it stops."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import docker.errors
import pytest
import yaml
from docker.models.containers import Container
from site_copy import HTTP, HTTPS, NAME, Site

STAGING, PROD = f"{NAME}staging", f"{NAME}prod"
MIRROR_PORT = HTTP + 3
MIRROR = f"localhost:{MIRROR_PORT}"


@pytest.fixture
def mirror(released: Site) -> Iterator[Container]:
    """A registry of staging's and prod's own, with nothing in it yet."""
    name = f"slipway-{NAME}-mirror"
    with contextlib.suppress(docker.errors.NotFound):
        released.engine.containers.get(name).remove(force=True, v=True)
    running = released.engine.containers.run(
        "slipway/registry:local",
        name=name,
        detach=True,
        ports={"5000/tcp": ("127.0.0.1", MIRROR_PORT)},
    )
    yield running
    running.remove(force=True, v=True)


@pytest.fixture
def chain(released: Site, mirror: Container) -> Iterator[Site]:
    """The site with two more environments that take releases, and keys."""
    folder = released.root / "infra/compose/environments"
    for place, (name, source, keys) in enumerate(
        ((STAGING, NAME, ["release"]), (PROD, STAGING, ["release", "approver"])), 1
    ):
        overlay = yaml.safe_load((folder / f"{NAME}.yaml").read_text())
        ports = {"address": "127.0.0.1", "https": HTTPS + place, "http": HTTP + place}
        overlay["x-slipway"] |= {"source": source, "keys": keys, "ports": ports}
        overlay["x-slipway"] |= {"registry": MIRROR, "approvals": place - 1}
        overlay["x-slipway"] |= {"replicas": {"backend": 1, "worker": 1}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))
    for words in ((), ("--name", "approver")):
        assert released.invoke("keys.new", *words).exit_code == 0
    yield released
    for name in (STAGING, PROD):
        assert released.invoke("down", "--env", name, "--volumes", "--yes").exit_code == 0
        (folder / f"{name}.yaml").unlink()


def image_ids(site: Site, environment: str) -> dict[str, str]:
    """Service -> id of the image that it runs."""
    found = site.engine.containers.list(filters={"label": f"slipway.environment={environment}"})
    return {
        each.labels["com.docker.compose.service"]: str(each.image.id)
        for each in found
        if each.image and "com.docker.compose.service" in each.labels
    }


def flip(mirror: Container, digest: str) -> None:
    """Alter one byte of a blob in the registry's own store; a second time puts it back."""
    kind, _, number = digest.partition(":")
    path = f"/var/lib/registry/docker/registry/v2/blobs/{kind}/{number[:2]}/{number}/data"
    # The smallest layers have a few dozen bytes.
    done = mirror.exec_run(["head", "--bytes=21", path])
    altered = done.output[20] ^ 1
    write = f"printf '\\{altered:03o}' | dd of={path} bs=1 seek=20 conv=notrunc"
    assert mirror.exec_run(["sh", "-c", write]).exit_code == 0


def test_the_same_bytes_reach_prod_and_altered_ones_do_not(chain: Site, mirror: Container) -> None:
    signed = chain.invoke("release", "--env", NAME)
    assert signed.exit_code == 0
    assert "Nothing to do" in signed.text

    assert chain.invoke("release", "--env", STAGING).exit_code == 2
    staging = chain.invoke("release", "--env", STAGING, "--yes")
    assert staging.exit_code == 0
    assert "images: build" not in staging.text
    evidence = json.loads((chain.root / f"reports/evidence-{STAGING}.json").read_text())
    assert {gate["name"]: gate["ok"] for gate in evidence["gates"]}["quality"] is True

    assert "approval-missing" in chain.invoke("release", "--env", PROD, "--yes").text
    assert chain.invoke("approve", "--env", PROD, "--yes").exit_code == 0

    backend = chain.engine.containers.list(
        filters={"label": f"slipway.environment={STAGING}", "name": "backend"}
    )[0]
    reference = str(backend.attrs["Config"]["Image"])
    layer = layers(mirror, reference)[-1]
    flip(mirror, layer)
    refused = chain.invoke("release", "--env", PROD, "--yes")
    flip(mirror, layer)
    assert refused.exit_code == 2
    assert f"release: bytes-changed: slipway/backend@{layer} was altered" in refused.text
    assert image_ids(chain, PROD) == {}

    prod = chain.invoke("release", "--env", PROD, "--yes")
    assert prod.exit_code == 0
    assert image_ids(chain, PROD) == image_ids(chain, STAGING) == image_ids(chain, NAME)


def layers(mirror: Container, reference: str) -> list[str]:
    """The digests of an image's layers, as the registry's own store has them."""
    number = reference.rpartition(":")[2]
    path = f"/var/lib/registry/docker/registry/v2/blobs/sha256/{number[:2]}/{number}/data"
    manifest = json.loads(mirror.exec_run(["cat", path]).output)
    return [str(each["digest"]) for each in manifest["layers"]]
