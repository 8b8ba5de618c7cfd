"""Command lines that ask the backup service of an environment, from inside its own container."""

from __future__ import annotations

from collections.abc import Mapping

Argv = tuple[str, ...]

#: Where a copy of a repository is looked at, and where the service's own is.
COPY = "/from"
HOME = "/var/lib/slipway-backup"
_ALONE = ("--network", "none")
#: Of root's powers: to read what others own, and to write it for them.
READS = ("DAC_READ_SEARCH", "SETGID", "SETPCAP", "SETUID")
WRITES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
_CONFINED = (
    *("--user", "0:0", "--read-only"),
    *("--tmpfs", "/tmp:size=256m,mode=1777"),  # noqa: S108  # nosec B108
    *("--security-opt", "no-new-privileges:true", "--pids-limit", "256", "--memory", "1g"),
    *("--log-opt", "max-size=1m", "--cap-drop", "ALL"),
)


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


def survey(image: str, labels: Mapping[str, str], folder: str, policy: str) -> Argv:
    """Print what a repository holds that no environment runs on: the copy in a folder of the host.

    Without a folder it is the second one of a `policy`. The secrets come on standard input.
    """
    if folder:
        place = (*_ALONE, *_copied(folder))
        return (*_once(labels, READS), *place, image, "survey", "--folder", COPY, "--secrets", "-")
    told = ("--env", f"BACKUP_POLICY={policy}")
    return (
        *(*_once(labels, READS), *told, image),
        *("survey", "--repository", "2", "--secrets", "-"),
    )


def adopt(image: str, labels: Mapping[str, str], folder: str, volume: str) -> Argv:
    """Copy a repository out of a folder of the host into the volume of an environment's own."""
    return (
        *(*_once(labels, WRITES), *_ALONE, *_copied(folder), "--volume", f"{volume}:{HOME}"),
        *(image, "adopt", "--folder", COPY),
    )


def state(
    image: str, labels: Mapping[str, str], point: str, volume: str, repository: str, policy: str
) -> Argv:
    """Restore a point's state into a volume, out of an environment's own repository.

    Without the volume of that one it is the second one of a `policy`. The secrets come on standard
    input.
    """
    own = (*_ALONE, "--volume", f"{repository}:{HOME}:ro")
    place: Argv = own if repository else ("--env", f"BACKUP_POLICY={policy}")
    number = "1" if repository else "2"
    return (
        *(*_once(labels, WRITES), *place, "--volume", f"{volume}:/restore/state", image),
        *("state", "--point", point, "--to", "/restore/state"),
        *("--repository", number, "--secrets", "-"),
    )


def own(image: str, volume: str, user: int, mode: str) -> Argv:
    """Give a volume to a user, where the image that would do it may be gone."""
    return (
        *("docker", "run", "--rm", *_ALONE, *_CONFINED),
        *("--cap-add", "CHOWN", "--cap-add", "FOWNER"),
        *("--volume", f"{volume}:/volume", "--entrypoint", "install", image),
        *("--directory", f"--owner={user}", f"--group={user}", f"--mode={mode}", "/volume"),
    )


def _once(labels: Mapping[str, str], powers: tuple[str, ...]) -> Argv:
    marks = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
    added = [part for each in powers for part in ("--cap-add", each)]
    return ("docker", "run", "--rm", "--interactive", *marks, *_CONFINED, *added)


def _copied(folder: str) -> Argv:
    # A mount, not a volume: the engine would make a folder that is not there.
    return ("--mount", f'type=bind,"source={folder}",target={COPY},readonly')


def _of(point: str) -> tuple[str, ...]:
    return ("--point", point) if point else ()


def _ask(container: str, verb: str, *words: str) -> Argv:
    return ("docker", "exec", container, "slipway-backup", verb, *words)
