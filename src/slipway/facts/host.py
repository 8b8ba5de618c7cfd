"""What this host is and has: system, engine, tools, registry and base image."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
from docker.errors import DockerException, NotFound

from slipway.commands import apt as apt_commands
from slipway.commands import engine as engine_commands
from slipway.config.mirror import Mirror
from slipway.errors import SlipwayError
from slipway.facts import apt
from slipway.run import run

CA_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
POLICY = Path("usr/sbin/policy-rc.d")
#: Tells the file that host.prepare made from one that the site made.
POLICY_MARK = "slipway host.prepare"
#: What a container is made of. A kernel that lacks one cannot run the engine at all.
_NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")
_ENGINE_TIMEOUT = 20
_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class System:
    """The operating system, as /etc/os-release and the kernel name it."""

    id: str
    version: str
    codename: str
    name: str
    architecture: str
    kernel: str
    kernel_lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """Room on this host; sizes in bytes, the disk's where the engine keeps its images."""

    cpus: int
    memory: int
    disk_free: int
    disk_path: str


@dataclass(frozen=True)
class Tools:
    """The programs that Slipway starts; a version is None where the program is missing."""

    client: bool
    dockerd: bool
    compose: str | None
    buildx: str | None
    mmdebstrap: bool
    ca_bundle: bool


@dataclass(frozen=True)
class Engine:
    """The engine that answers; without one `version` is None and `complaint` says why."""

    version: str | None
    complaint: str = ""
    storage: str = ""


@dataclass(frozen=True)
class Registry:
    """The OCI registry on the loopback; `answers` may be true for one that the site runs.

    `starting` is Slipway's own that does not answer yet; `port_taken` is another program's doing.
    """

    answers: bool
    image: bool
    port_taken: bool
    starting: bool = False


@dataclass(frozen=True)
class BrokenOff:
    """What an earlier preparation left when it was killed."""

    policy: bool = False
    packages: bool = False


@dataclass(frozen=True)
class HostFacts:
    """Everything that decides whether this host is ready, and what would make it so."""

    system: System
    machine: Machine
    root: bool
    systemd: bool
    tools: Tools
    engine: Engine
    base: bool
    registry: Registry
    mirror: Mirror | None
    broken_off: BrokenOff = BrokenOff()


def read(root: Path = Path("/")) -> HostFacts:
    """Read the facts of this host; changes nothing, and takes a few seconds at most."""
    engine, on_engine = _engine()
    system = read_system(root)
    return HostFacts(
        system=system,
        machine=_machine(on_engine.folder),
        root=os.geteuid() == 0,
        systemd=(root / "run/systemd/system").is_dir(),
        tools=_tools(root),
        engine=engine,
        base=on_engine.base,
        registry=_registry(on_engine),
        mirror=apt.mirror(system.codename, root) if system.id == "debian" else None,
        broken_off=read_broken_off(root),
    )


def read_system(root: Path = Path("/")) -> System:
    """Read the operating system from os-release, and the kernel's features from /proc."""
    release = _os_release(root)
    return System(
        id=release.get("ID", "unknown"),
        version=release.get("VERSION_ID", ""),
        codename=release.get("VERSION_CODENAME", ""),
        name=release.get("PRETTY_NAME", "an unknown system"),
        architecture=platform.machine(),
        kernel=platform.release(),
        kernel_lacks=_kernel_lacks(root),
    )


def read_broken_off(root: Path = Path("/")) -> BrokenOff:
    """Read what an earlier preparation left behind when it was killed."""
    policy = root / POLICY
    left = policy.is_file() and POLICY_MARK in policy.read_text(errors="replace")
    half = False
    if shutil.which("dpkg"):
        half = bool(run(apt_commands.audit(), check=False).output.strip())
    return BrokenOff(policy=left, packages=half)


def read_root_image(folder: Path) -> str:
    """Return the image that the base is made from, named with its digest.

    Raises SlipwayError when the settings file is not what it should be.
    """
    path = folder / "root.toml"
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        image, digest = str(settings["image"]), str(settings["digest"])
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise SlipwayError(f"{path}: cannot be read: {error} (needed: image, digest)") from error
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise SlipwayError(f"{path}: digest: {digest!r} is not sha256: and 64 hexadecimal digits")
    return f"{image}@{digest}"


def local_engine() -> str:
    """The address of this host's engine; an engine elsewhere is another host's matter."""
    named = os.environ.get("DOCKER_HOST", "")
    return named if named.startswith("unix://") else "unix:///var/run/docker.sock"


def read_engine() -> Engine:
    """Read whether the engine answers, and which version."""
    return _engine()[0]


def registry_answers() -> bool:
    """Whether a registry answers on the loopback."""
    return _registry(_OnEngine()).answers


def has_program(name: str) -> bool:
    """Whether a program is there; a user's PATH often lacks the administrator's folders."""
    return shutil.which(name, path=search_path()) is not None


def search_path() -> str:
    """The PATH with the administrator's folders: `su` without a dash leaves them out."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_PATH))


def offered(image: str) -> bool:
    """Whether the engine can reach the registry of `image`, asked for its manifest alone."""
    try:
        client = docker.DockerClient(base_url=local_engine(), timeout=_ENGINE_TIMEOUT)
        try:
            client.images.get_registry_data(image)
        finally:
            client.close()
    except (DockerException, OSError):
        # A registry that does not answer in time (an OSError of requests) is out of reach.
        return False
    return True


@dataclass(frozen=True)
class _OnEngine:
    """What the engine has of Slipway's, and the folder where it keeps it."""

    base: bool = False
    #: The ids of the registry's image and of the image its container runs; empty where none is.
    registry_image: str = ""
    registry_runs: str = ""
    folder: Path = Path("/var/lib/docker")


def _engine() -> tuple[Engine, _OnEngine]:
    if complaint := _complaint():
        return Engine(None, complaint), _OnEngine()
    try:
        client = docker.DockerClient(base_url=local_engine(), timeout=_ENGINE_TIMEOUT)
    except DockerException as error:
        return Engine(None, f"it does not answer: {error}"), _OnEngine()
    try:
        information = client.info()
        engine = Engine(
            version=str(client.version()["Version"]),
            storage=str(information.get("Driver", "")),
        )
        return engine, _OnEngine(
            base=bool(_image(client, engine_commands.BASE)),
            registry_image=_image(client, engine_commands.REGISTRY_IMAGE),
            registry_runs=_running(client, engine_commands.REGISTRY_CONTAINER),
            folder=Path(str(information.get("DockerRootDir", _OnEngine.folder))),
        )
    except (DockerException, OSError) as error:
        return Engine(None, f"it does not answer: {error}"), _OnEngine()
    finally:
        client.close()


def _image(client: docker.DockerClient, name: str) -> str:
    try:
        return str(client.images.get(name).id)
    except NotFound:
        return ""


def _running(client: docker.DockerClient, name: str) -> str:
    try:
        container = client.containers.get(name).attrs
    except NotFound:
        return ""
    alive = container["State"]["Status"] in {"running", "restarting"}
    return str(container["Image"]) if alive else ""


def _complaint() -> str:
    """Why nothing answers at the engine's socket; empty when something listens there."""
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(_ENGINE_TIMEOUT)
        try:
            attempt.connect(local_engine().removeprefix("unix://"))
        except FileNotFoundError:
            return "no engine is running"
        except ConnectionRefusedError:
            return "its socket is there but nothing listens"
        except PermissionError:
            return "this user may not talk to it (group docker, or root)"
        except OSError as error:
            return f"its socket does not answer: {error}"
    return ""


def _tools(root: Path) -> Tools:
    return Tools(
        client=shutil.which("docker") is not None,
        dockerd=has_program("dockerd"),
        compose=_plugin("compose"),
        buildx=_plugin("buildx"),
        mmdebstrap=has_program("mmdebstrap"),
        ca_bundle=(root / CA_BUNDLE).is_file(),
    )


def _plugin(name: str) -> str | None:
    """The version of a plugin of the docker client, None where the client or plugin is missing."""
    if shutil.which("docker") is None:
        return None
    asked = run(("docker", name, "version"), check=False, timeout=30)
    found = re.search(r"\d+(?:\.\d+)+", asked.output.removeprefix("github.com/docker/buildx"))
    return found.group() if asked.exit_code == 0 and found else None


def _registry(engine: _OnEngine) -> Registry:
    port = engine_commands.REGISTRY_PORT
    try:
        # The loopback is never reached through a proxy, whatever the environment says.
        answers = httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False, timeout=5).is_success
    except httpx.HTTPError:
        answers = False
    taken = False
    # The engine listens for its container before the program in it answers.
    if not answers and not engine.registry_runs:
        with socket.socket() as attempt:
            attempt.settimeout(2)
            taken = attempt.connect_ex(("127.0.0.1", port)) == 0
    return Registry(
        answers=answers,
        image=bool(engine.registry_image),
        port_taken=taken,
        starting=not answers
        and bool(engine.registry_runs)
        # One of an image that is no longer the registry's is replaced, not waited for.
        and engine.registry_runs == engine.registry_image,
    )


def _machine(engine_root: Path) -> Machine:
    place = engine_root
    while not place.exists():
        place = place.parent
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_free=shutil.disk_usage(place).free,
        disk_path=str(place),
    )


def _kernel_lacks(root: Path) -> tuple[str, ...]:
    lacking = [
        f"{name} namespaces"
        for name in _NAMESPACES
        if not os.path.lexists(root / "proc/self/ns" / name)
    ]
    controllers = root / "sys/fs/cgroup"
    if not controllers.is_dir() or not any(controllers.iterdir()):
        lacking.append("control groups mounted at /sys/fs/cgroup")
    return tuple(lacking)


def _os_release(root: Path) -> dict[str, str]:
    for path in (root / "etc/os-release", root / "usr/lib/os-release"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
        return {key.strip(): value.strip().strip("\"'") for key, value in pairs}
    return {}
