"""Commands of uv."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

#: What uv runs with unless the user says otherwise: patience with a slow mirror, and trust in what
#: the host trusts, because a site may stand behind a TLS-inspecting proxy.
ENVIRONMENT: Mapping[str, str] = {
    name: os.environ.get(name, default)
    for name, default in {
        "UV_HTTP_TIMEOUT": "120",
        **({"UV_SYSTEM_CERTS": "1"} if _BUNDLE.is_file() else {}),
    }.items()
}


#: What the index has as source only; everything else must come as a wheel, so that installing runs
#: no package's code.
SOURCE_ONLY = ("llama-cpp-python",)


def binary() -> str:
    """Return the path of the uv that is locked with the toolkit."""
    return uv.find_uv_bin()


def pip_compile(
    output: Path,
    *,
    python: str,
    constraints: Path | None = None,
    hashes: bool = True,
    upgrade: bool = False,
    upgrade_packages: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the command that locks the requirements on its input into `output`.

    Versions that `output` pins already are kept, unless `upgrade` or `upgrade_packages` lets
    them go. Nothing that is written names an index or a folder of this host.
    """
    return (
        binary(),
        "pip",
        "compile",
        "-",
        f"--output-file={output}",
        f"--python-version={python}",
        "--universal",
        "--no-header",
        "--no-annotate",
        "--only-binary=:all:",
        *(f"--no-binary={name}" for name in SOURCE_ONLY),
        "--quiet",
        *(("--generate-hashes",) if hashes else ()),
        *((f"--constraints={constraints}",) if constraints else ()),
        *(("--upgrade",) if upgrade else ()),
        *(f"--upgrade-package={name}" for name in upgrade_packages),
    )
