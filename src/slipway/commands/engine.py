"""Commands that start the engine, and that put Slipway's own parts of a host on it."""

from __future__ import annotations

from pathlib import Path

BASE = "slipway/base:trixie"
BASE_ROOT = "slipway/base-root:trixie"
REGISTRY_IMAGE = "slipway/registry:local"
REGISTRY_CONTAINER = "slipway-registry"
REGISTRY_VOLUME = "slipway-registry"
REGISTRY_PORT = 5000


def start_service() -> tuple[str, ...]:
    """Return the command that starts the engine now and at every start of the host."""
    return ("systemctl", "enable", "--now", "docker.service")


def stop_service() -> tuple[str, ...]:
    """Return the command that stops the engine, and the socket that would start it again."""
    return ("systemctl", "stop", "docker.socket", "docker.service")


def start_detached(pidfile: Path, log: Path) -> tuple[str, ...]:
    """Return the command that starts the engine on a host without systemd, and ends at once.

    The engine writes its process number to `pidfile`, which also marks it as ours. Its output
    goes to `log`: it must not hold the output of the program that started it.
    """
    return (
        "setsid",
        "--fork",
        "sh",
        "-c",
        'exec dockerd --pidfile="$1" > "$2" 2>&1 < /dev/null',
        "dockerd",
        str(pidfile),
        str(log),
    )


def pull(image: str) -> tuple[str, ...]:
    """Return the command that fetches an image, named with its digest."""
    return ("docker", "pull", "--quiet", image)


def tag(image: str, name: str) -> tuple[str, ...]:
    """Return the command that gives an image another name."""
    return ("docker", "tag", image, name)


def untag(name: str) -> tuple[str, ...]:
    """Return the command that takes a name from an image."""
    return ("docker", "image", "rm", "--no-prune", name)


def import_tree(archive: Path, name: str) -> tuple[str, ...]:
    """Return the command that makes an image of one layer from an archive of a tree."""
    return ("docker", "import", str(archive), name)


def build(target: str, file: Path) -> tuple[str, ...]:
    """Return the command that builds a target of the bake file into the engine's own store."""
    return ("docker", "buildx", "bake", "--progress=plain", f"--file={file}", target)


def remove_registry() -> tuple[str, ...]:
    """Return the command that removes the registry's container; its volume stays."""
    return ("docker", "rm", "--force", REGISTRY_CONTAINER)


def run_registry() -> tuple[str, ...]:
    """Return the command that starts the host's registry, reachable from this host only."""
    return (
        "docker",
        "run",
        "--detach",
        f"--name={REGISTRY_CONTAINER}",
        "--restart=unless-stopped",
        f"--publish=127.0.0.1:{REGISTRY_PORT}:5000",
        f"--volume={REGISTRY_VOLUME}:/var/lib/registry",
        "--user=10004:10004",
        "--init",
        "--read-only",
        "--tmpfs=/tmp:size=64m,mode=1777",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges:true",
        "--memory=256m",
        "--cpus=1",
        "--pids-limit=128",
        "--log-driver=json-file",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=5",
        "--health-cmd=slipway-registry-health",
        "--health-interval=10s",
        "--health-timeout=3s",
        "--health-start-period=10s",
        REGISTRY_IMAGE,
    )


def sockets(container: str) -> tuple[str, ...]:
    """Return the command that prints the TCP sockets of a container, in the kernel's format."""
    return ("docker", "exec", container, "cat", "/proc/net/tcp", "/proc/net/tcp6")


def blockers(container: str) -> tuple[str, ...]:
    """Return the command that prints who holds locks in the database, one JSON object a line."""
    query = (
        "SELECT json_build_object('process', pid, 'user', usename, 'program', application_name,"
        " 'state', state, 'seconds', round(extract(epoch FROM now() - xact_start)),"
        " 'statement', left(query, 120)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND xact_start < now() - interval '5 seconds' ORDER BY xact_start LIMIT 5"
    )
    return (
        *("docker", "exec", "--user", "10003:10003", container),
        *("psql", "--no-psqlrc", "--tuples-only", "--no-align"),
        *("--username=postgres", "--dbname=slipway", f"--command={query}"),
    )
