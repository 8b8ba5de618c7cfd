"""Another host: an SSH server and a Docker engine in a container, and nothing else."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
IMAGE = "slipway/e2e-host:local"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
USER = "deploy"


def docker(*words: str) -> str:
    """Run one docker command on this machine's engine and return what it printed."""
    done = subprocess.run(("docker", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


class OtherHost:
    """The other host: its address for `x-slipway/host`, its container, and how ssh gets in."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.known, key = folder / "known_hosts", folder / "key"
        made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        subprocess.run(made, check=True)
        docker("build", "--quiet", f"--secret=id=ca,src={AUTHORITIES}", f"--tag={IMAGE}", str(HERE))
        self.remove()
        docker(
            *("run", "--detach", f"--name={name}", "--privileged", "--publish=127.0.0.1::22"),
            # An overlay on an overlay is refused by the kernel; a volume is the host's own disk.
            *("--volume=/var/lib/docker", f"--env=AUTHORIZED_KEY={Path(f'{key}.pub').read_text()}"),
            IMAGE,
        )
        self.port = docker("port", name, "22").rpartition(":")[2]
        self.address = f"ssh://{USER}@127.0.0.1:{self.port}"
        self.ssh = f"ssh -F none -i {key} -o UserKnownHostsFile={self.known}"
        self._await()

    @property
    def ip(self) -> str:
        """Its address on the network between it and this machine."""
        words = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return docker("inspect", f"--format={words}", self.name)

    def connections(self) -> list[int]:
        """The processes on this machine that hold a connection to it."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.known).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def remove(self) -> None:
        """Take it away with all it held."""
        words = ("docker", "rm", "--force", "--volumes", self.name)
        subprocess.run(words, capture_output=True, check=True)

    def _await(self) -> None:
        deadline = time.monotonic() + 60
        scan = ("ssh-keyscan", "-t", "ed25519", "-p", self.port, "127.0.0.1")
        while True:
            keys = subprocess.run(scan, capture_output=True, text=True, check=False).stdout
            log = subprocess.run(
                ("docker", "logs", self.name), capture_output=True, text=True, check=False
            ).stderr
            if keys and "API listen on" in log:
                self.known.write_text(keys)
                return
            assert time.monotonic() < deadline, log
            time.sleep(0.5)
