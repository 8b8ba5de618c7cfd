"""Making a host ready: each step of the plan, and stopping the engine that was started so."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slipway import console
from slipway.commands import apt, bake, engine, mmdebstrap
from slipway.config.layout import Layout
from slipway.config.mirror import KEYRING
from slipway.errors import Refused, SlipwayError
from slipway.facts import host as facts
from slipway.plans import host as plans
from slipway.run import run

#: Outlives a restart where /run is no tmpfs: what it says is held against the processes there are.
STATE = Path("/run/slipway")
LOG = Path("/var/log/slipway/dockerd.log")
SUITE = "trixie"
SOURCES = Path("/etc/apt/sources.list.d/slipway-trixie.sources")
PREFERENCES = Path("/etc/apt/preferences.d/slipway-trixie")
PRIORITY = 100
POLICY = Path("/") / facts.POLICY
#: The engine's own folder of the same kind.
ENGINE_STATE = Path("/var/run")
#: apt installs without starting anything: there is no init system to start it with.
POLICY_TEXT = (
    f"#!/bin/sh\n# {facts.POLICY_MARK}: removed when the packages are installed\nexit 101\n"
)

DPKG_LOCK = Path("/var/lib/dpkg/lock-frontend")
DPKG_SECONDS = 300
#: Not /tmp: it may be too small, or mounted so that a tree of devices cannot live there.
LARGE = Path("/var/tmp")  # nosec B108
START_SECONDS = 90
STOP_SECONDS = 90
PULL_SECONDS = 900
#: What dockerd says when it ends by itself.
_GAVE_UP = "failed to start daemon"


def prepare(
    layout: Layout,
    *,
    refresh: bool = False,
    only_plan: bool = False,
    timings: dict[str, float] | None = None,
) -> bool:
    """Make this host ready: print the steps that are missing, then do only those.

    Returns whether there was anything to do. `refresh` makes the base image anew; `only_plan`
    stops after printing. Raises Refused, before anything is touched, when a step cannot be done
    here, and SlipwayError when one fails; the next run goes on where this one stopped.
    """
    found = facts.read()
    steps = plans.steps(found, refresh=refresh)
    refuse_by_hand(found)
    if not steps:
        console.say("The host is ready: nothing to do.")
        return False
    console.say("This host needs:")
    for step in steps:
        console.say(f"  {step.text}")
    if only_plan:
        return True
    refuse_unable(found, steps)
    done: set[str] = set()
    with _alone():
        # Each step changes what the next ones find: an engine that starts may bring its registry.
        while steps:
            step = steps[0]
            with console.phase(step.text.partition(":")[0], timings):
                _DO[step.name](layout, found, step)
            done.add(step.name)
            found = facts.read()
            steps = tuple(
                each for each in plans.steps(found, refresh=refresh) if each.name not in done
            )
    _prove(found)
    return True


def refuse_by_hand(found: facts.HostFacts) -> None:
    """Raise Refused when something is missing that no step brings."""
    lacking = plans.by_hand(found)
    if lacking:
        first = lacking[0]
        listed = "; ".join(each.what for each in lacking)
        raise Refused(f"This host lacks {listed}", next_command=first.mend)


def refuse_unable(found: facts.HostFacts, steps: tuple[plans.Step, ...]) -> None:
    """Raise Refused when a step needs root, or a distribution that Slipway knows."""
    names = {step.name for step in steps}
    if not names & {"finish", "packages", "engine"}:
        return
    if "packages" in names and plans.recipe(found) is None:
        raise Refused(
            f"Slipway does not know how {found.system.name} installs its packages. Install"
            f" Docker Engine {_version(plans.ENGINE)} or newer, its Compose plugin"
            f" {_version(plans.COMPOSE)} or newer and its buildx plugin, and start the engine",
            next_command=plans.PREPARE,
        )
    if not found.root:
        packages = " ".join(package for step in steps for package in step.packages)
        what = f"Installing {packages}" if packages else "Starting the engine"
        raise Refused(f"{what} needs root", next_command=f"sudo .venv/bin/{plans.PREPARE}")


def stop() -> bool:
    """Stop the engine if host.prepare started it, and wait for its end; removes nothing.

    Returns whether there was one to stop. Raises SlipwayError when it does not end in time.
    """
    if _service_mark().exists():
        run(engine.stop_service(), timeout=STOP_SECONDS)
        _service_mark().unlink()
        return True
    process = started_engine()
    if process is None:
        return False
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_ours(process):
        if time.monotonic() > deadline:
            raise SlipwayError(
                f"the engine (process {process}) did not end within {STOP_SECONDS} s",
                next_command=f"tail {LOG}",
            )
        time.sleep(0.2)
    return True


def started_engine() -> int | None:
    """Return the process number of the running engine that host.prepare started, else None."""
    try:
        process = int(_pidfile().read_text())
    except (OSError, ValueError):
        return None
    return process if _is_ours(process) else None


def _is_ours(process: int) -> bool:
    """A number may have gone to another process: ours names our own file of numbers."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"--pidfile={_pidfile()}".encode() in words


def _pidfile() -> Path:
    return STATE / "dockerd.pid"


def _service_mark() -> Path:
    return STATE / "service-started"


def _finish(_layout: Layout, found: facts.HostFacts, _step: plans.Step) -> None:
    if found.broken_off.packages:
        _wait_for_dpkg()
        with _services_held_back(found):
            run(apt.configure(), env=_apt(), check=False)
            run(apt.fix(), env=_apt())
    if found.broken_off.policy:
        POLICY.unlink(missing_ok=True)


def _source(_layout: Layout, found: facts.HostFacts, _step: plans.Step) -> None:
    if found.mirror is None:
        raise Refused(
            f"No apt source of this host serves {found.system.codename} main: where to take"
            f" {SUITE} from is not known",
            next_command="look at /etc/apt/sources.list and /etc/apt/sources.list.d",
        )
    # The preference comes first: without it the next upgrade would move the host to the new suite.
    _write(PREFERENCES, apt.preferences(SUITE, PRIORITY))
    _write(SOURCES, apt.sources(found.mirror, SUITE))


def _packages(_layout: Layout, found: facts.HostFacts, step: plans.Step) -> None:
    listed = run(apt.update(), env=_apt(), check=False)
    if listed.exit_code != 0:
        # Another vendor's source may be out of reach; the installation shows whether it matters.
        console.warn(f"apt-get update: {_last(listed.errors)}")
    with _services_held_back(found):
        run(apt.install(step.packages), env=_apt())


def _engine(_layout: Layout, found: facts.HostFacts, _step: plans.Step) -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    if found.systemd:
        # Before the start: a run that is killed in between leaves an engine that is known as ours.
        _service_mark().touch()
        run(engine.start_service())
    else:
        _refuse_hanging_engine()
        _remove_stale_numbers()
        # What an earlier engine said is not taken for the words of this one.
        _write(LOG, "")
        run(engine.start_detached(_pidfile(), LOG), env=_administrator())
    deadline = time.monotonic() + START_SECONDS
    while (answer := facts.read_engine()).version is None:
        words = "" if found.systemd else _read(LOG)
        if time.monotonic() > deadline or _GAVE_UP in words:
            gave_up = [line for line in words.splitlines() if _GAVE_UP in line]
            said = f"; its last words: {_last(gave_up[-1] if gave_up else words)}" if words else ""
            raise SlipwayError(
                f"the engine did not start: {answer.complaint}{said}",
                next_command="journalctl --unit docker" if found.systemd else f"tail -n 50 {LOG}",
            )
        time.sleep(0.5)


def _base(layout: Layout, found: facts.HostFacts, _step: plans.Step) -> None:
    image = facts.read_root_image(layout.root / "infra" / "base")
    origin = image
    if facts.offered(image):
        run(engine.pull(image), env=_local(), timeout=PULL_SECONDS)
        run(engine.tag(image, engine.BASE_ROOT), env=_local())
    else:
        origin = f"mmdebstrap {SUITE}"
        _bootstrap(layout, found)
    sources = "\n".join(found.mirror.lines(SUITE)) if found.mirror else ""
    run(
        engine.build("base", layout.root / "docker-bake.hcl"),
        env={
            **_local(),
            "BASE_ROOT": engine.BASE_ROOT,
            "BASE_ORIGIN": origin,
            "BASE_SOURCES": sources,
        },
        cwd=layout.root,
        log=layout.local / "logs" / "base.log",
    )
    run(engine.untag(engine.BASE_ROOT), env=_local(), check=False)


def _bootstrap(layout: Layout, found: facts.HostFacts) -> None:
    if not found.tools.mmdebstrap and not facts.has_program("mmdebstrap"):
        raise SlipwayError(
            "The base image can neither be pulled (no registry answers) nor be made here:"
            " mmdebstrap is not installed",
            next_command="install mmdebstrap, then " + plans.PREPARE,
        )
    sources = found.mirror.lines(SUITE) if found.mirror else ()
    keyring = None if found.system.id == "debian" else KEYRING
    configuration = (layout.root / "infra/base/dpkg.cfg").read_text(encoding="utf-8")
    settings = [line for line in configuration.splitlines() if line and not line.startswith("#")]
    with tempfile.TemporaryDirectory(prefix="slipway-base-", dir=LARGE) as folder:
        archive = Path(folder) / "root.tar"
        run(
            mmdebstrap.bootstrap(
                SUITE, archive, sources=sources, keyring=keyring, settings=settings
            ),
            env={**_administrator(), "TMPDIR": folder},
        )
        run(engine.import_tree(archive, engine.BASE_ROOT), env=_local())


def _registry_image(layout: Layout, _found: facts.HostFacts, _step: plans.Step) -> None:
    run(
        engine.build("registry", layout.root / "docker-bake.hcl"),
        env=_local(),
        cwd=layout.root,
        log=layout.local / "logs" / "registry.log",
    )


def _registry(_layout: Layout, found: facts.HostFacts, _step: plans.Step) -> None:
    # An engine that has just started brings its registry along; that one needs a moment.
    if found.registry.starting and _registry_comes():
        return
    run(engine.remove_registry(), env=_local(), check=False)
    run(engine.run_registry(), env=_local())
    if not _registry_comes():
        raise SlipwayError(
            f"the registry does not answer after {START_SECONDS} s",
            next_command=f"docker logs {engine.REGISTRY_CONTAINER}",
        )


def _registry_comes() -> bool:
    deadline = time.monotonic() + START_SECONDS
    while not facts.registry_answers():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


_DO: Mapping[str, Callable[[Layout, facts.HostFacts, plans.Step], None]] = {
    "finish": _finish,
    "source": _source,
    "packages": _packages,
    "engine": _engine,
    "base": _base,
    "registry-image": _registry_image,
    "registry": _registry,
}


def _prove(found: facts.HostFacts) -> None:
    """Raise SlipwayError when something is still missing after every step."""
    lacking = plans.missing(found)
    if lacking:
        listed = "; ".join(each.what for each in lacking)
        raise SlipwayError(f"still missing: {listed}", next_command="invoke host.check")


@contextmanager
def _alone() -> Iterator[None]:
    """Keep a second preparation out, for as long as this one lives."""
    folder = STATE if os.geteuid() == 0 else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"slipway-host-{os.geteuid()}.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("Another host.prepare is at work here; wait for its end") from error
        yield


@contextmanager
def _services_held_back(found: facts.HostFacts) -> Iterator[None]:
    """Keep packages from starting services while there is no systemd to start them with.

    A policy that the site has set itself is left as it is.
    """
    ours = not found.systemd and (not POLICY.exists() or found.broken_off.policy)
    if ours:
        _write(POLICY, POLICY_TEXT, mode=0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _wait_for_dpkg() -> None:
    """Wait for an apt that outlived the preparation that started it; dpkg itself would not."""
    deadline = time.monotonic() + DPKG_SECONDS
    while True:
        with DPKG_LOCK.open("w") as held:
            try:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise SlipwayError(
                        f"another program installs packages for more than {DPKG_SECONDS} s",
                        next_command=f"fuser -v {DPKG_LOCK}",
                    ) from None
            else:
                return
        time.sleep(0.5)


def _refuse_hanging_engine() -> None:
    for pidfile in (ENGINE_STATE / "docker.pid", _pidfile()):
        process = _running(pidfile, "dockerd")
        if process is not None:
            raise SlipwayError(
                f"an engine runs (process {process}) but does not answer",
                next_command=f"kill {process}, then {plans.PREPARE}",
            )


def _remove_stale_numbers() -> None:
    """Remove what a host that was cut off left: the engine takes any process for its own."""
    for pidfile, program in (
        (_pidfile(), "dockerd"),
        (ENGINE_STATE / "docker.pid", "dockerd"),
        (ENGINE_STATE / "docker/containerd/containerd.pid", "containerd"),
    ):
        if _running(pidfile, program) is None:
            pidfile.unlink(missing_ok=True)


def _running(pidfile: Path, program: str) -> int | None:
    """The process that a file of its number names, None unless it is `program` and alive."""
    try:
        process = int(pidfile.read_text())
        name = Path(f"/proc/{process}/comm").read_text().strip()
        # Empty for a process that has ended and that nobody has asked how.
        words = Path(f"/proc/{process}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return process if name == program and words else None


def _administrator() -> dict[str, str]:
    return {"PATH": facts.search_path()}


def _apt() -> dict[str, str]:
    return {**_administrator(), **apt.ENVIRONMENT}


def _local() -> dict[str, str]:
    """This host's engine and its own builder, whatever the person's settings say."""
    return {"DOCKER_HOST": facts.local_engine(), **bake.ENVIRONMENT}


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole: a killed run leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


def _version(parts: tuple[int, int]) -> str:
    return ".".join(str(part) for part in parts)
