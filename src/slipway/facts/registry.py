"""What the site's OCI registry holds; whatever has a digest is hashed again here."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import ipaddress
import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from slipway.errors import Refused

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# Manifests in either dialect: BuildKit writes Docker's or OCI's depending on its exporter.
ACCEPT = ", ".join(
    (
        OCI_MANIFEST,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
DIGEST = r"sha256:[0-9a-f]{64}"
#: What is read into memory at most; layers are only hashed as they come.
MOST = 16 << 20
CHUNK = 1 << 20
#: Seconds; a registry that says nothing for so long is gone.
PATIENCE = httpx.Timeout(10, read=60)


@dataclass(frozen=True)
class Document:
    """A manifest as the registry gave it, and the digest of exactly these bytes."""

    digest: str
    media_type: str
    content: bytes

    def parsed(self) -> dict[str, Any]:
        """The JSON object in it. Raises Refused when it is none."""
        try:
            found = json.loads(self.content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(f"The manifest {self.digest} is not a JSON object", code="bytes-changed")
        return found


@dataclass(frozen=True)
class Blob:
    """A blob that a manifest names: its digest, its bytes, and what they are."""

    digest: str
    size: int
    media_type: str


def base_url(registry: str) -> str:
    """Plain HTTP on the loopback interface, as Docker does it; TLS everywhere else."""
    host = registry.rpartition(":")[0] or registry
    return f"{'http' if loopback(host) else 'https'}://{registry}"


def digest(registry: str, repository: str, tag: str) -> str | None:
    """The digest (`sha256:...`) that `tag` names, or None where there is no such tag.

    Raises Refused when the registry does not answer.
    """
    with connected(registry) as http:
        answer = http.head(f"/v2/{repository}/manifests/{tag}", headers={"accept": ACCEPT})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
    return answer.headers["docker-content-digest"]


def document(registry: str, repository: str, reference: str) -> Document | None:
    """The manifest that a tag or a digest names, or None where there is none.

    Raises Refused when the registry does not answer, or its bytes are not those of the digest.
    """
    with connected(registry) as http:
        url = f"/v2/{repository}/manifests/{reference}"
        answer = http.get(url, headers={"accept": ACCEPT})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
    found = hashed(answer.content)
    if re.fullmatch(DIGEST, reference) and found != reference:
        raise changed(f"{repository}@{reference}", found)
    media_type = answer.headers.get("content-type", OCI_MANIFEST).partition(";")[0]
    return Document(found, media_type, answer.content)


def blobs(parsed: dict[str, Any]) -> tuple[Blob, ...]:
    """Configuration and layers that a manifest names, each once."""
    named = [parsed.get("config"), *parsed.get("layers", ())]
    found = {
        each["digest"]: Blob(each["digest"], int(each["size"]), each.get("mediaType", ""))
        for each in named
        if each
    }
    return tuple(found.values())


def has_blob(registry: str, repository: str, wanted: str) -> bool:
    """Whether the registry says that it has a blob; its bytes are not looked at."""
    with connected(registry) as http:
        answer = http.head(f"/v2/{repository}/blobs/{wanted}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        answer.raise_for_status()
    return True


def blob(registry: str, repository: str, wanted: str) -> bytes:
    """The bytes of a small blob. Raises Refused when they are not there, or are others."""
    parts: list[bytes] = []

    def keep(part: bytes) -> None:
        parts.append(part)
        if sum(map(len, parts)) > MOST:
            raise Refused(f"{repository}@{wanted} is larger than {MOST >> 20} MiB")

    check_blob(registry, repository, wanted, keep)
    return b"".join(parts)


def check_blob(
    registry: str,
    repository: str,
    wanted: str,
    on_bytes: Callable[[bytes], None] = lambda _part: None,
) -> None:
    """Hash a blob as it comes, handing on its bytes; they are good only once this has returned.

    Raises Refused when it is not there, or its bytes are not those of the digest.
    """
    content = hashlib.sha256()
    with streamed(registry, repository, wanted) as parts:
        for part in parts:
            content.update(part)
            on_bytes(part)
    found = f"sha256:{content.hexdigest()}"
    if found != wanted:
        raise changed(f"{repository}@{wanted}", found)


@contextlib.contextmanager
def streamed(registry: str, repository: str, wanted: str) -> Iterator[Iterator[bytes]]:
    """The bytes of a blob as they come, not yet compared with anything."""
    with (
        connected(registry) as http,
        http.stream("GET", f"/v2/{repository}/blobs/{wanted}", follow_redirects=True) as answer,
    ):
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Refused(
                f"The registry at {registry} has no {repository}@{wanted}", code="bytes-missing"
            )
        answer.raise_for_status()
        yield answer.iter_raw(CHUNK)


def tags(registry: str, repository: str) -> tuple[str, ...]:
    """Every tag of a repository; none where there is no such repository."""
    with connected(registry) as http:
        answer = http.get(f"/v2/{repository}/tags/list")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ()
        answer.raise_for_status()
    return tuple(answer.json().get("tags") or ())


@contextlib.contextmanager
def connected(registry: str) -> Iterator[httpx.Client]:
    """A client for one registry. Raises Refused when that does not answer as a registry does."""
    url = base_url(registry)
    try:
        with httpx.Client(
            base_url=url,
            timeout=PATIENCE,
            verify=_trust(),
            # The loopback is never reached through a proxy, whatever the environment says.
            trust_env=not url.startswith("http://"),
        ) as http:
            yield http
    except httpx.HTTPError as error:
        raise Refused(
            f"The registry at {registry} does not answer: {error}",
            next_command="invoke host.prepare",
            code="registry-gone",
        ) from error


def hashed(content: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def changed(what: str, found: str) -> Refused:
    """The refusal of bytes that are not those of their digest."""
    return Refused(
        f"{what} was altered: the registry's bytes have the digest {found}", code="bytes-changed"
    )


@dataclass(frozen=True)
class Stored:
    """An image as the registry holds it: its labels, and per layer its id and packed size."""

    labels: Mapping[str, str]
    layers: tuple[tuple[str, int], ...]


def stored(registry: str, repository: str, digest: str) -> Stored:
    """Read an image's labels and layers. Raises Refused when the registry does not have it."""
    found = document(registry, repository, digest)
    if found is None:
        raise Refused(
            f"The registry at {registry} has no {repository}@{digest}", code="bytes-missing"
        )
    manifest = found.parsed()
    config = json.loads(blob(registry, repository, manifest["config"]["digest"]))
    sizes = [layer["size"] for layer in manifest["layers"]]
    return Stored(
        labels=config.get("config", {}).get("Labels") or {},
        layers=tuple(zip(config["rootfs"]["diff_ids"], sizes, strict=True)),
    )


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities that this host trusts: a site's registry is signed by the site's own."""
    return ssl.create_default_context()


def loopback(host: str) -> bool:
    """Whether a host's name means the machine that says it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
