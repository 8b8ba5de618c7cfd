"""A door with one or two edges behind it, as a release leaves them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from edge_rig import Edge, docker, until

from slipway.config import names

RUN = (
    *("--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp", "--restart", "unless-stopped"),
)


class DoorRig(Edge):
    """The edges share what an edge has to itself; `name` is the network of the backends."""

    # As in a release: with a way out of its own, an edge would answer past the door.
    network_options = ("--internal",)

    def __init__(self, image: str, folder: Path) -> None:
        super().__init__(image, folder)
        for network, options in names.NETWORK_OPTIONS.items():
            given = [part for key, value in options.items() for part in ("--opt", f"{key}={value}")]
            docker("network", "create", *given, f"{self.name}-{network}")

    def container(self, service: str) -> str:
        """The name of the container of the door or of an edge."""
        return f"{self.name}-{service}"

    def start_edge(self, service: str) -> None:
        """Start one edge, which nobody reaches before the door is told."""
        docker(
            *("create", "--name", self.container(service), *RUN, "--memory", "256m"),
            *("--tmpfs", "/run:uid=10002,gid=10002,mode=0755"),
            *("--network", f"{self.name}-routed", "--network-alias", service),
            *("--volume", f"{self.name}-secrets:/run/secrets:ro"),
            *("--volume", f"{self.name}-{service}:/var/lib/slipway-edge"),
            self.image,
        )
        docker("network", "connect", self.name, self.container(service))
        docker("start", self.container(service))
        until(
            "the agent", lambda: self.ask_edge(service, "status")[1].get("agent", {}).get("rounds")
        )

    def start_door(self, service: str) -> None:
        """Start the door and send new connections to this edge."""
        docker(
            *("create", "--name", self.container("door"), *RUN, "--memory", "64m", "--user", "0"),
            *("--cap-add", "NET_ADMIN", "--sysctl", "net.ipv4.ip_forward=1"),
            *("--network", f"{self.name}-front", "--publish", "127.0.0.1::8443"),
            *("--volume", f"{self.name}-door:/var/lib/slipway-door"),
            *("--entrypoint", "slipway-edge", self.image, "door", "run"),
        )
        docker("network", "connect", f"{self.name}-routed", self.container("door"))
        docker("start", self.container("door"))
        until("the rules", lambda: self.ask_edge("door", "door", "switch", service)[0] == 0)
        self.ports()

    def ports(self) -> None:
        """Read the door's published port, which changes when it starts again."""
        self.https = int(docker("port", self.container("door"), "8443").split(":")[-1])

    def ask_edge(self, service: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run `slipway-edge` in one of the containers; return its exit code and JSON."""
        done = subprocess.run(
            ["docker", "exec", self.container(service), "slipway-edge", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {}

    def serve(self, service: str, generation: int) -> None:
        """Let one edge serve a generation as soon as that is ready."""
        command = ("switch", str(generation))
        until("the generation", lambda: self.ask_edge(service, *command)[0] == 0)

    def drained(self, service: str) -> bool:
        """Let an edge close its connections; whether it holds none any more."""
        return bool(self.ask_edge(service, "drain")[1].get("connections") == 0)

    def remove_edge(self, service: str) -> None:
        """Stop an edge and remove it."""
        docker("stop", "--time", "40", self.container(service))
        docker("rm", self.container(service))

    def close(self) -> None:
        """Remove what was started, and only that."""
        services = (names.DOOR, *names.EDGES)
        for service in services:
            docker("rm", "--force", self.container(service), check=False)
        super().close()
        for service in services:
            docker("volume", "rm", "--force", self.container(service), check=False)
        for network in names.NETWORK_OPTIONS:
            docker("network", "rm", f"{self.name}-{network}", check=False)
