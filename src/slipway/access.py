"""What a person on this machine needs to use an environment: its authority and passwords."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from slipway.config.layout import Layout

FILES = {"ca.crt": 0o644, "admin_password": 0o600}  # nosec B105
#: Of an environment that is watched besides.
WATCHED = {"console_password": 0o600}  # nosec B105


def folder(layout: Layout, environment: str) -> Path:
    """Where the files of an environment are left."""
    return layout.local / environment


def left(layout: Layout, environment: str) -> bool:
    """Whether this checkout has the files of an environment."""
    return all((folder(layout, environment) / name).is_file() for name in FILES)


def leave(layout: Layout, environment: str, values: Mapping[str, str]) -> None:
    """Write the authority's certificate and the passwords for the user of this checkout."""
    target = folder(layout, environment)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, mode in (FILES | WATCHED).items():
        if name in values:
            descriptor = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "w") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(values[name])
