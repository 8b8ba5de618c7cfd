"""Command lines that talk to the edge agent inside the edge's container."""

from __future__ import annotations

Argv = tuple[str, ...]

# A request with this header and the edge's pass is let in during maintenance.
ADMITTING_HEADER = "x-slipway-maintenance"
# One with this header and the candidate's pass reaches the generation that is not switched to yet.
CANDIDATE_HEADER = "x-slipway-candidate"


def status(container: str) -> Argv:
    """Print what the edge serves, as JSON."""
    return ("docker", "exec", container, "slipway-edge", "status")


def switch(container: str, generation: int) -> Argv:
    """Switch the edge to a generation; it acknowledges or refuses, in JSON."""
    return ("docker", "exec", container, "slipway-edge", "switch", str(generation))


def candidate(container: str, generation: int) -> Argv:
    """Let requests with a pass, which it prints, reach a generation that does not serve."""
    return ("docker", "exec", container, "slipway-edge", "candidate", str(generation))


def maintenance(container: str) -> Argv:
    """Print whether callers are turned away, with the message and the pass, as JSON."""
    return ("docker", "exec", container, "slipway-edge", "maintenance")


def maintain(container: str, message: str | None) -> Argv:
    """Turn callers away with a message, or let them in again when it is None."""
    if message is None:
        return (*maintenance(container), "off")
    return (*maintenance(container), "on", f"--message={message}")


def drain(container: str) -> Argv:
    """Let an edge close each connection with its next answer, and print how many are open."""
    return ("docker", "exec", container, "slipway-edge", "drain")


def keep(container: str) -> Argv:
    """Let an edge that was told to drain keep its connections again."""
    return (*drain(container), "off")


def door_status(container: str) -> Argv:
    """Print which edge gets new connections, as JSON."""
    return ("docker", "exec", container, "slipway-edge", "door", "status")


def door_switch(container: str, edge: str) -> Argv:
    """Send new connections to an edge; the door acknowledges or refuses, in JSON."""
    return ("docker", "exec", container, "slipway-edge", "door", "switch", edge)


def stop(container: str, seconds: int) -> Argv:
    """Ask an edge to finish its requests and end, and kill it after `seconds`."""
    return ("docker", "stop", "--time", str(seconds), container)


def remove(container: str) -> Argv:
    """Remove an edge's container."""
    return ("docker", "rm", "--force", container)


def try_door(image: str) -> Argv:
    """Make the door's rules in a network namespace of nobody's, to see whether the host lets it."""
    return (
        *("docker", "run", "--rm", "--pull", "never", "--network", "none", "--cap-drop", "ALL"),
        *("--cap-add", "NET_ADMIN", "--user", "0:0", "--entrypoint", "slipway-edge"),
        *(image, "door", "try"),
    )
