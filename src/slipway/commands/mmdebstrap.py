"""Commands of mmdebstrap, which makes a Debian tree from an archive alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def bootstrap(
    codename: str,
    output: Path,
    *,
    sources: Sequence[str] = (),
    keyring: str | None = None,
    settings: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the command that writes the smallest tree of `codename` into the archive `output`.

    `sources` are one-line apt sources; without any, mmdebstrap's own default is used, which
    has the updates and security suites as well. `keyring` is needed where the host's apt does
    not trust Debian's keys. `settings` are lines of dpkg's configuration.
    """
    return (
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        *(f"--dpkgopt={setting}" for setting in settings),
        *((f"--keyring={keyring}",) if keyring else ()),
        codename,
        str(output),
        *sources,
    )
