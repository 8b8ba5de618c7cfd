"""Where a host takes Debian's packages from."""

from __future__ import annotations

from dataclasses import dataclass

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Mirror:
    """The addresses of Debian's archive and of its security archive."""

    archive: str
    security: str

    def lines(self, codename: str) -> tuple[str, ...]:
        """One-line sources of a stable suite with its updates and its security suite."""
        return (
            f"deb {self.archive} {codename} main",
            f"deb {self.archive} {codename}-updates main",
            f"deb {self.security} {codename}-security main",
        )
