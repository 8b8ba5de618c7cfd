"""Command lines that reach an environment's state through the toolbox image."""

from __future__ import annotations

from collections.abc import Mapping

Argv = tuple[str, ...]

# A toolbox needs no network, and of root's powers only those over the files of other users.
_CONFINED = (
    *("--read-only", "--cap-drop", "ALL"),
    *("--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"),
    *("--security-opt", "no-new-privileges:true", "--pids-limit", "32", "--memory", "128m"),
    *("--cpus", "1", "--user", "0:0", "--log-opt", "max-size=1m"),
)
_ALONE = ("--network", "none", *_CONFINED)


def read(image: str, state_volume: str, verb: str = "read") -> Argv:
    """Run the toolbox once, for a verb that only reads."""
    return (
        *("docker", "run", "--rm", "--interactive", *_ALONE),
        *("--volume", f"{state_volume}:/state", image, verb),
    )


def host(image: str) -> Argv:
    """Run the toolbox once beside the host's own programs, to see which ports they listen on."""
    return (
        *("docker", "run", "--rm", "--interactive", "--network", "host", *_CONFINED),
        *(image, "host"),
    )


def note(image: str, state_volume: str) -> Argv:
    """Run the toolbox once to append a line to the ledger; it comes on standard input."""
    return (*read(image, state_volume)[:-1], "note")


def hold(
    image: str, name: str, volumes: Mapping[str, str], labels: Mapping[str, str], seconds: int
) -> Argv:
    """Start the toolbox for the length of a release; it ends by itself after the lease.

    `volumes` maps a volume to the folder it is mounted on.
    """
    mounts = [part for volume, at in volumes.items() for part in ("--volume", f"{volume}:{at}")]
    marks = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
    return (
        *("docker", "run", "--rm", "--detach", "--init", "--name", name, *_ALONE),
        *(*marks, *mounts, image, "hold", str(seconds)),
    )


def call(container: str, verb: str) -> Argv:
    """Run one verb in a toolbox that is held; its JSON comes on standard input."""
    return ("docker", "exec", "--interactive", container, "slipway-toolbox", verb)


def identify(name: str) -> Argv:
    """Print the id of the container that has a name now."""
    return ("docker", "container", "inspect", "--format", "{{.Id}}", name)


def remove(container: str) -> Argv:
    """End a toolbox that is held."""
    return ("docker", "rm", "--force", container)
