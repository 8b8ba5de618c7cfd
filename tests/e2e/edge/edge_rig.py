"""A real edge in a container, with tiny backends on a network of its own."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKEND = Path(__file__).with_name("backend.py").read_text(encoding="utf-8")
CERTIFY = """
cd /run/secrets
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout new.key -out new.crt 2>/dev/null
chown 10002:10002 new.key new.crt; mv new.key tls.key; mv new.crt tls.crt; cat tls.crt
"""


def docker(*arguments: str, check: bool = True, timeout: float = 60) -> str:
    """Run one docker command and return what it printed."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr or done.stdout}")
    return done.stdout


def until(what: str, look: Callable[[], Any], seconds: float = 60) -> Any:
    """Look again until it is true; fail naming what did not come."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come within {seconds:g} s: {what}")
        time.sleep(0.1)
    return value


class Edge:
    """One edge container and its backends; what it starts carries its name and goes with it."""

    #: What the network of edge and backends is made with.
    network_options: tuple[str, ...] = ()

    def __init__(self, image: str, folder: Path) -> None:
        self.image = image
        self.name = f"edge-try-{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self.ca_file = folder / "ca.crt"
        self.started: list[str] = []
        docker("network", "create", *self.network_options, self.name)
        for volume in ("secrets", "state"):
            docker("volume", "create", f"{self.name}-{volume}")
        self.ca_file.write_text(self.certify("first"), encoding="utf-8")

    def certify(self, name: str) -> str:
        """Put a new self-signed certificate for ``name`` into the volume and return it."""
        return docker(
            *("run", "--rm", "--user", "0", "--volume", f"{self.name}-secrets:/run/secrets"),
            *("--entrypoint", "sh", self.image, "-c", CERTIFY, "sh", name),
        )

    def start(self, **environment: str) -> None:
        """Start the edge as production runs it: read-only, no capabilities, memory bounded."""
        settings = {"PUBLIC_HTTPS_PORT": "8443", **environment}
        docker(
            *("run", "--detach", "--name", self.name, "--network", self.name, "--init"),
            *("--read-only", "--cap-drop", "ALL"),
            *("--tmpfs", "/tmp", "--tmpfs", "/run:uid=10002,gid=10002,mode=0755"),
            *("--security-opt", "no-new-privileges", "--memory", "256m", "--pids-limit", "256"),
            *("--publish", "127.0.0.1::8443", "--publish", "127.0.0.1::8080"),
            *("--volume", f"{self.name}-secrets:/run/secrets:ro"),
            *("--volume", f"{self.name}-state:/var/lib/slipway-edge"),
            *(word for pair in settings.items() for word in ("--env", "=".join(pair))),
            self.image,
        )
        self.ports()
        until("the agent's first round", lambda: self.status().get("agent", {}).get("rounds"))

    def ports(self) -> None:
        """Read the published ports, which change when the container starts again."""
        self.https = int(docker("port", self.name, "8443").split(":")[-1])
        self.http = int(docker("port", self.name, "8080").split(":")[-1])

    @property
    def url(self) -> str:
        """The address of the edge."""
        return f"https://localhost:{self.https}"

    def backend(self, generation: int, *, ready: bool = True) -> str:
        """Start a backend of a generation and return its container's name."""
        told = {"GENERATION": str(generation), "READY": "yes" if ready else "no"}
        return self._beside(f"backend-g{generation}", BACKEND, told)

    def console(self) -> str:
        """Start what answers as the console does, and return its container's name."""
        return self._beside("console", BACKEND, {"GENERATION": "", "PORT": "8080"})

    def _beside(self, alias: str, program: str, told: dict[str, str]) -> str:
        name = f"{self.name}-{uuid.uuid4().hex[:6]}"
        docker(
            *("run", "--detach", "--name", name, "--network", self.name),
            *("--network-alias", alias, "--memory", "64m"),
            *(word for pair in told.items() for word in ("--env", "=".join(pair))),
            *("--entrypoint", "python3", self.image, "-c", program),
        )
        self.started.append(name)
        return name

    def remove(self, backend: str) -> None:
        """Take a backend away."""
        docker("rm", "--force", backend)
        self.started.remove(backend)

    def command(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run ``slipway-edge`` in the container; return its exit code and JSON."""
        done = subprocess.run(
            ["docker", "exec", self.name, "slipway-edge", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {}

    def status(self) -> dict[str, Any]:
        """What the edge says about itself."""
        return self.command("status")[1]

    def ready(self) -> int:
        """How many addresses of the active generation answered ready in the last round."""
        return sum(bool(entry["ready"]) for entry in self.status()["addresses"])

    def switch(self, generation: int, backends: int = 1) -> dict[str, Any]:
        """Switch as soon as the generation can serve with that many backends."""

        def acknowledged() -> dict[str, Any] | None:
            code, answer = self.command("switch", str(generation))
            return answer if code == 0 and len(answer["addresses"]) >= backends else None

        answer: dict[str, Any] = until(f"generation {generation} serving", acknowledged)
        return answer

    def in_flight(self) -> int:
        """Requests in flight at all addresses of all generations."""
        return sum(self.status()["in_flight"].values())

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request over TLS; return status, headers (names in lower case) and body."""
        connection = http.client.HTTPSConnection(
            "localhost",
            self.https,
            timeout=30,
            context=ssl.create_default_context(cafile=str(self.ca_file)),
        )
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def log(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        lines = docker("logs", self.name).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self) -> None:
        """Remove what was started, and only that."""
        for name in [*self.started, self.name]:
            docker("rm", "--force", "--volumes", name, check=False)
        for volume in ("secrets", "state"):
            docker("volume", "rm", "--force", f"{self.name}-{volume}", check=False)
        docker("network", "rm", self.name, check=False)
