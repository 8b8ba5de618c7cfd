"""Command lines that collect the garbage of the site's registry."""

from __future__ import annotations

Argv = tuple[str, ...]

SETTINGS = "/etc/slipway/registry.yml"


def stop(container: str) -> Argv:
    """Stop the registry: what is pushed while garbage is collected would be taken for it."""
    return ("docker", "stop", "--time", "10", container)


def collect(container: str, image: str) -> Argv:
    """Remove the layers that no manifest names, from the volume of a registry that is stopped."""
    return (
        *("docker", "run", "--rm", "--volumes-from", container, "--network", "none"),
        *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
        *("--memory", "256m", "--pids-limit", "128", "--entrypoint", "docker-registry"),
        *(image, "garbage-collect", SETTINGS),
    )


def start(container: str) -> Argv:
    """Start it again."""
    return ("docker", "start", container)
