"""Another machine that keeps a second repository in a bucket."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backup_rig import NAME, Rig, signed
from keeper_rig import AUTHORITIES

HERE = Path(__file__).parent / "bucket"
HOST = "bucket"
PORT = 9000


class Bucket:
    """An S3-compatible server on the rig's network, whose certificate no host trusts."""

    kind = "s3"

    def __init__(self, rig: Rig) -> None:
        image = f"{NAME}-bucket:local"
        words = ("docker", "build", "--quiet", f"--secret=id=ca,src={AUTHORITIES}")
        subprocess.run([*words, f"--tag={image}", str(HERE)], check=True, capture_output=True)
        authority, certificate, key = signed(HOST, "localhost")
        self._rig = rig
        self.container = rig.run(
            image,
            HOST,
            mounts={},
            aliases=[HOST],
            environment={
                "AUTHORITY": authority,
                "CERTIFICATE": certificate,
                "KEY": key,
                "BUCKET": "points",
            },
        )
        rig.eventually(
            lambda: b"ready" in self.container.logs(stderr=False), "a server with a bucket"
        )
        self.secrets = {
            # The server takes any: it does not sign a list as its clients do, and would refuse it.
            "second_access_key": "an access key",
            "second_secret_key": "a secret key",
            "second_ca.crt": authority,
        }

    @property
    def second(self) -> dict[str, Any]:
        """The second repository, as a policy says it."""
        return {"kind": "s3", "endpoint": f"{HOST}:{PORT}", "bucket": "points"}

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Off the network: what it holds is in memory, and would be gone with its process."""
        self._rig.network.disconnect(self.container)
        try:
            yield
        finally:
            self._rig.network.connect(self.container, aliases=[HOST])
