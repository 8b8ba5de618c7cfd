"""Commands of apt and dpkg, and the files that add a second suite beside the host's own."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.config.mirror import KEYRING, Mirror

#: Another apt may be at work: unattended upgrades run when a host has just started.
_PATIENCE = ("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=5")

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


def update() -> tuple[str, ...]:
    """Return the command that fetches the package lists."""
    return ("apt-get", "update", *_PATIENCE)


def install(packages: Sequence[str]) -> tuple[str, ...]:
    """Return the command that installs `packages`, each with a `/suite` where one is meant."""
    return (
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        *_PATIENCE,
        "-o",
        "Dpkg::Options::=--force-confold",
        *packages,
    )


def configure() -> tuple[str, ...]:
    """Return the command that configures what a broken-off installation left unpacked."""
    return ("dpkg", "--configure", "-a", "--force-confold")


def fix() -> tuple[str, ...]:
    """Return the command that completes or takes back what dpkg alone could not configure."""
    return (
        "apt-get",
        "install",
        "--fix-broken",
        "--yes",
        "--no-install-recommends",
        *_PATIENCE,
        "-o",
        "Dpkg::Options::=--force-confold",
    )


def audit() -> tuple[str, ...]:
    """Return the command that prints which packages are half installed; nothing when none is."""
    return ("dpkg", "--audit")


def sources(mirror: Mirror, codename: str, *, signed_by: str = KEYRING) -> str:
    """Return the text of a sources file for `codename` with its updates and security suites."""
    stanzas = (
        (mirror.archive, f"{codename} {codename}-updates"),
        (mirror.security, f"{codename}-security"),
    )
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {signed_by}\n"
        for uri, suites in stanzas
    )


def preferences(codename: str, priority: int) -> str:
    """Return the text of a preferences file that gives a suite `priority`.

    At 100 a package of the suite is taken only when it is asked for with `/suite`.
    """
    return f"Package: *\nPin: release n={codename}*\nPin-Priority: {priority}\n"
