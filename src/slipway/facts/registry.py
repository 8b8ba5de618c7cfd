"""What the site's OCI registry holds."""

from __future__ import annotations

import functools
import ipaddress
import ssl

import httpx

from slipway.errors import Refused

# Manifests in either dialect: BuildKit writes Docker's or OCI's depending on its exporter.
ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)


def base_url(registry: str) -> str:
    """Plain HTTP on the loopback interface, as Docker does it; TLS everywhere else."""
    host = registry.rpartition(":")[0] or registry
    return f"{'http' if loopback(host) else 'https'}://{registry}"


def digest(registry: str, repository: str, tag: str) -> str | None:
    """The digest (`sha256:...`) that `tag` names, or None where there is no such tag.

    Raises Refused when the registry does not answer.
    """
    url = f"{base_url(registry)}/v2/{repository}/manifests/{tag}"
    try:
        answer = httpx.head(
            url,
            headers={"accept": ACCEPT},
            timeout=10,
            verify=_trust(),
            # The loopback is never reached through a proxy, whatever the environment says.
            trust_env=not url.startswith("http://"),
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Refused(
            f"The registry at {registry} does not answer: {error}",
            next_command="invoke host.prepare",
            code="registry-gone",
        ) from error
    return answer.headers["docker-content-digest"]


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
