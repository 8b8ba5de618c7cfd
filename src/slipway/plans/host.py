"""What is missing on a host, and the steps that bring it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.facts.host import HostFacts

#: The oldest versions that Slipway works with. Health checks while starting (`start_interval`)
#: need Engine 25.
ENGINE = (25, 0)
COMPOSE = (2, 26)
BUILDX = (0, 10)

GIB = 1024**3
#: Images, the registry's copies of them and the build cache, with room for a second generation.
DISK = 8 * GIB
#: A four-gigabyte machine, less what its kernel keeps for itself.
MEMORY = int(3.5 * GIB)

PREPARE = "invoke host.prepare"
ARCHITECTURES = ("x86_64", "aarch64")

#: The steps of a preparation, in the order in which they are done.
STEPS = ("finish", "source", "packages", "engine", "base", "registry-image", "registry")


@dataclass(frozen=True)
class Missing:
    """One thing that a host lacks, and the command that brings it.

    `steps` are those of a preparation that bring it; without any a person has to.
    """

    what: str
    mend: str
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One line of a check: a thing, how it was found, and what is missing about it."""

    name: str
    found: str
    missing: Missing | None = None


@dataclass(frozen=True)
class Recipe:
    """How a distribution brings the engine and its tools: packages for each of them."""

    packages: Mapping[str, tuple[str, ...]]
    #: A second suite that the packages come from, beside the host's own.
    suite: str | None = None


@dataclass(frozen=True)
class Step:
    """One step of a preparation."""

    name: str
    text: str
    packages: tuple[str, ...] = field(default=())


#: Debian 12's own engine is too old and its Compose is version 1. trixie's are taken, with
#: Debian 12's runc: trixie's would bring a new C library with it.
_DEBIAN_12 = Recipe(
    suite="trixie",
    packages={
        "engine": (
            "docker.io/trixie",
            "containerd/trixie",
            "docker-cli/trixie",
            "runc/bookworm",
            "iptables",
        ),
        "client": ("docker-cli/trixie",),
        "compose": ("docker-compose/trixie",),
        "buildx": ("docker-buildx/trixie",),
        "mmdebstrap": ("mmdebstrap",),
        "ca": ("ca-certificates",),
    },
)
_DEBIAN_13 = Recipe(
    packages={
        "engine": ("docker.io", "docker-cli", "iptables"),
        "client": ("docker-cli",),
        "compose": ("docker-compose",),
        "buildx": ("docker-buildx",),
        "mmdebstrap": ("mmdebstrap",),
        "ca": ("ca-certificates",),
    },
)
_UBUNTU = Recipe(
    packages={
        "engine": ("docker.io", "iptables"),
        "client": ("docker.io",),
        "compose": ("docker-compose-v2",),
        "buildx": ("docker-buildx",),
        # Ubuntu's apt does not know Debian's keys.
        "mmdebstrap": ("mmdebstrap", "debian-archive-keyring"),
        "ca": ("ca-certificates",),
    },
)

RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("debian", "12"): _DEBIAN_12,
    ("debian", "13"): _DEBIAN_13,
    ("ubuntu", "22.04"): _UBUNTU,
    ("ubuntu", "24.04"): _UBUNTU,
    ("ubuntu", "26.04"): _UBUNTU,
}


def recipe(facts: HostFacts) -> Recipe | None:
    """Return how this host's distribution brings the engine, None where that is not known."""
    return RECIPES.get((facts.system.id, facts.system.version))


def check(facts: HostFacts) -> tuple[Line, ...]:
    """Return one line for each thing that a host needs, in the order of a preparation."""
    return (
        _system(facts),
        _kernel(facts),
        _memory(facts),
        _disk(facts),
        _broken_off(facts),
        _certificates(facts),
        _engine(facts),
        _plugin("compose", facts.tools.compose, COMPOSE),
        _plugin("buildx", facts.tools.buildx, BUILDX),
        _base(facts),
        _registry(facts),
    )


def missing(facts: HostFacts) -> tuple[Missing, ...]:
    """Return what this host lacks; nothing when it is ready."""
    return tuple(line.missing for line in check(facts) if line.missing)


def by_hand(facts: HostFacts) -> tuple[Missing, ...]:
    """Return what is missing that no step of a preparation brings."""
    return tuple(each for each in missing(facts) if not each.steps)


def next_command(facts: HostFacts, prepare: str = PREPARE) -> str:
    """Return the command for a host that is not ready: a person's part comes before `prepare`."""
    lacking = by_hand(facts)
    return lacking[0].mend if lacking else prepare


def steps(facts: HostFacts, *, refresh: bool = False) -> tuple[Step, ...]:
    """Return the steps that make this host ready, in order; none when it is.

    `refresh` makes the base image and the registry's image anew, with today's security fixes.
    """
    names = {name for each in missing(facts) for name in each.steps}
    packages = wanted_packages(facts) if "packages" in names else ()
    chosen = recipe(facts)
    if packages and chosen and chosen.suite:
        names.add("source")
    if refresh:
        names |= {"base", "registry-image", "registry"}
    unless = ", unless the engine has it" if facts.engine.version is None else ""
    texts = {
        "finish": "finish what a broken-off preparation left",
        "source": f"add {chosen.suite if chosen else ''} as a package source at priority 100",
        "packages": f"install packages: {' '.join(packages)}",
        "engine": "start the engine" + ("" if facts.systemd else " detached"),
        "base": f"make the base image{unless}",
        "registry-image": f"build the registry's image{unless}",
        "registry": f"start the registry on the loopback{unless}",
    }
    return tuple(
        Step(name, texts[name], packages if name == "packages" else ())
        for name in STEPS
        if name in names
    )


def wanted_packages(facts: HostFacts) -> tuple[str, ...]:
    """Return the packages that are missing, with the suite each is taken from where one is meant.

    A tool that is there already, whoever brought it, is left alone.
    """
    chosen = recipe(facts)
    if chosen is None:
        return ()
    wanted = [package for need in _needs(facts) for package in chosen.packages[need]]
    return tuple(dict.fromkeys(wanted))


def report(lines: tuple[Line, ...]) -> str:
    """Return a check as text: one line each, with the command that mends what is missing."""
    width = max(len(line.name) for line in lines)
    shown = []
    for line in lines:
        state = "missing" if line.missing else "ok"
        mend = f"  -> {line.missing.mend}" if line.missing else ""
        shown.append(f"{line.name.ljust(width)}  {state.ljust(7)}  {line.found}{mend}")
    return "\n".join(shown)


def at_least(version: str | None, least: tuple[int, int]) -> bool:
    """Whether a version such as 26.1.5+dfsg1, v5.0.1 or 2.26.1-4 is `least` or newer."""
    found = re.search(r"(\d+)(?:\.(\d+))?", version or "")
    return found is not None and (int(found.group(1)), int(found.group(2) or 0)) >= least


def _needs(facts: HostFacts) -> tuple[str, ...]:
    tools = facts.tools
    return tuple(
        need
        for need, there in (
            ("engine", facts.engine.version is not None or tools.dockerd),
            ("client", tools.client),
            ("compose", at_least(tools.compose, COMPOSE)),
            ("buildx", at_least(tools.buildx, BUILDX)),
            # Only asked for when the base is still to be made: a registry may not be in reach.
            ("mmdebstrap", facts.base or tools.mmdebstrap),
            ("ca", tools.ca_bundle),
        )
        if not there
    )


def _system(facts: HostFacts) -> Line:
    system = facts.system
    found = f"{system.name}, {system.architecture}, {'root' if facts.root else 'not root'}"
    if system.architecture not in ARCHITECTURES:
        known = " or ".join(ARCHITECTURES)
        what = f"a known architecture ({known}; this is {system.architecture})"
        return Line("system", found, Missing(what, "another machine"))
    return Line("system", found)


def _kernel(facts: HostFacts) -> Line:
    lacks = facts.system.kernel_lacks
    if lacks and facts.engine.version is None:
        what = f"kernel features ({', '.join(lacks)})"
        return Line("kernel", f"lacks {', '.join(lacks)}", Missing(what, "another kernel"))
    return Line("kernel", facts.system.kernel)


def _memory(facts: HostFacts) -> Line:
    machine = facts.machine
    found = f"{machine.memory / GIB:.1f} GiB, {machine.cpus} cores"
    if machine.memory < MEMORY:
        what = f"memory ({machine.memory / GIB:.1f} GiB; needed: {MEMORY / GIB:.1f} GiB)"
        return Line("memory", found, Missing(what, "more memory"))
    return Line("memory", found)


def _disk(facts: HostFacts) -> Line:
    machine = facts.machine
    found = f"{machine.disk_free / GIB:.1f} GiB free at {machine.disk_path}"
    if machine.disk_free < DISK:
        what = (
            f"disk space at {machine.disk_path} ({machine.disk_free / GIB:.1f} GiB free;"
            f" needed: {DISK / GIB:.0f} GiB)"
        )
        return Line("disk", found, Missing(what, "docker system df, then remove what is not used"))
    return Line("disk", found)


def _broken_off(facts: HostFacts) -> Line:
    left = facts.broken_off
    # What the site left half installed concerns Slipway only while it needs packages itself.
    concerned = facts.engine.version is None or bool(_needs(facts))
    found = " and ".join(
        text
        for text, there in (
            ("packages are half installed", left.packages and concerned),
            ("services are kept from starting", left.policy),
        )
        if there
    )
    if found:
        what = f"the end of a broken-off preparation ({found})"
        return Line("packages", found, Missing(what, PREPARE, ("finish",)))
    return Line("packages", "complete")


def _certificates(facts: HostFacts) -> Line:
    if facts.tools.ca_bundle:
        return Line("certificates", "the host's bundle is there")
    return Line(
        "certificates",
        "no bundle of certificate authorities",
        Missing("the bundle of certificate authorities", PREPARE, ("packages",)),
    )


def _engine(facts: HostFacts) -> Line:
    engine, tools = facts.engine, facts.tools
    oldest = ".".join(str(part) for part in ENGINE)
    if engine.version and not at_least(engine.version, ENGINE):
        # Taking an engine that runs something away from under it is not for us to decide.
        what = f"an engine that is new enough ({engine.version} answers; needed: {oldest})"
        return Line(
            "engine",
            f"{engine.version}, older than {oldest}",
            Missing(what, "stop it, remove its package, then " + PREPARE),
        )
    if engine.version and tools.client:
        storage = f", {engine.storage}" if engine.storage else ""
        return Line("engine", f"{engine.version}{storage}")
    if engine.version:
        return Line(
            "engine",
            f"{engine.version}, but no docker client",
            Missing("the docker client", PREPARE, ("packages",)),
        )
    if "may not talk" in engine.complaint:
        what = f"a running engine ({engine.complaint})"
        return Line("engine", engine.complaint, Missing(what, "the same command as root"))
    needed = ("engine",) if tools.dockerd and tools.client else ("packages", "engine")
    return Line(
        "engine",
        engine.complaint,
        Missing(f"a running engine ({engine.complaint})", PREPARE, needed),
    )


def _plugin(name: str, version: str | None, least: tuple[int, int]) -> Line:
    oldest = ".".join(str(part) for part in least)
    if at_least(version, least):
        return Line(name, str(version))
    found = f"{version}, older than {oldest}" if version else "not installed"
    return Line(name, found, Missing(f"docker {name} {oldest} ({found})", PREPARE, ("packages",)))


def _base(facts: HostFacts) -> Line:
    if facts.base:
        return Line("base image", "there")
    # Where no package is known the image may still be pulled.
    packages = not facts.tools.mmdebstrap and recipe(facts) is not None
    needed = ("packages", "base") if packages else ("base",)
    return Line("base image", "not there", Missing("the base image", PREPARE, needed))


def _registry(facts: HostFacts) -> Line:
    registry = facts.registry
    if registry.answers:
        return Line("registry", "answers at localhost:5000")
    if registry.port_taken:
        what = "port 5000 of the loopback (another program has it)"
        return Line(
            "registry",
            "port 5000 is taken by another program",
            Missing(what, "ss -ltnp 'sport = :5000' names it; stop it"),
        )
    needed = ("registry",) if registry.image else ("registry-image", "registry")
    return Line(
        "registry", "does not answer", Missing("the registry at localhost:5000", PREPARE, needed)
    )
