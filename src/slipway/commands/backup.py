"""Command lines that ask the backup service of an environment, from inside its own container."""

from __future__ import annotations

Argv = tuple[str, ...]


def points(container: str) -> Argv:
    """Print the recovery points, how old the archive is, and how full the repository, as JSON."""
    return _ask(container, "list")


def take(container: str, kind: str = "", name: str = "") -> Argv:
    """Take a recovery point now: of this kind, or of the one that is due; `name` is for people."""
    chosen = ("--kind", kind) if kind else ()
    called = ("--name", name) if name else ()
    return _ask(container, "run", *chosen, *called)


def verify(container: str, point: str = "", *, read_data: bool = False) -> Argv:
    """Check what the repository keeps of one point, or of all of them."""
    return _ask(container, "verify", *_of(point), *(("--read-data",) if read_data else ()))


def drill(container: str, point: str = "") -> Argv:
    """Restore a point, or the newest one, into a server that nobody reaches, and prove it."""
    return _ask(container, "drill", *_of(point))


def export(container: str, point: str) -> Argv:
    """Print one encrypted archive of a point on standard output."""
    return _ask(container, "export", "--point", point, "--to", "-")


def begin(image: str, volume: str, folder: str) -> Argv:
    """Give an empty volume the owner that the image's folder has; the engine does it at a mount."""
    return (
        *("docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges:true", "--volume", f"{volume}:{folder}"),
        *("--entrypoint", "true", image),
    )


def _of(point: str) -> tuple[str, ...]:
    return ("--point", point) if point else ()


def _ask(container: str, verb: str, *words: str) -> Argv:
    return ("docker", "exec", container, "slipway-backup", verb, *words)
