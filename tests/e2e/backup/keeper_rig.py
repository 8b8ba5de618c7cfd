"""Another machine that keeps a second repository, reached by SFTP."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backup_rig import NAME, Rig
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

HERE = Path(__file__).parent / "keeper"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
HOST = "keeper"


class Keeper:
    """An SSH server on the rig's network, with a user that may bring and get files."""

    kind = "sftp"

    def __init__(self, rig: Rig, **room: str) -> None:
        image = f"{NAME}-keeper:local"
        words = ("docker", "build", "--quiet", f"--secret=id=ca,src={AUTHORITIES}")
        subprocess.run([*words, f"--tag={image}", str(HERE)], check=True, capture_output=True)
        host, client = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        known = _public(host)
        self.fingerprint = hashlib.sha256(b64decode(known.split()[1])).hexdigest()
        self.secrets = {"second_key": _private(client), "second_known_hosts": f"{HOST} {known}\n"}
        rig.volume("keeper", **room)
        self.container = rig.run(
            image,
            HOST,
            mounts={"keeper": "/points"},
            aliases=[HOST],
            environment={"HOST_KEY": _private(host), "AUTHORIZED_KEY": _public(client)},
            user="0:0",
            read_only=False,
            cap_drop=[],
            init=False,
        )
        rig.eventually(
            lambda: b"Server listening" in self.container.logs(), "an SSH server that listens"
        )

    @property
    def second(self) -> dict[str, Any]:
        """The second repository, as a policy says it."""
        return {
            "kind": "sftp",
            "host": HOST,
            "user": "keeper",
            "path": "/points",
            "host_fingerprint": self.fingerprint,
        }

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Stopped; what it holds is on its volume."""
        self.container.stop()
        try:
            yield
        finally:
            self.container.start()


def _private(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
