"""Which environments are ever installed, from what, and whether their locks still say so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slipway.errors import Refused
from slipway.facts import lock as facts
from slipway.facts.lock import Lock, Project

#: The oldest Python that any environment is installed on.
PYTHON = "3.11"

#: The one set of versions that all locks share.
CONSTRAINTS = "constraints"


@dataclass(frozen=True)
class Environment:
    """What one lock is compiled from: members' dependencies, their extras, and root groups.

    `members` lists members whose own dependencies are in it, `extras` are (member, extra) pairs.
    One that is `apart` shares no versions with the others, so that what it holds for comparison
    never holds the product back; nothing of ours may be in it.
    """

    members: tuple[str, ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    apart: bool = False


_EMBEDDED = (("slipway-backend", "embedded"), ("slipway-backend", "model"))
_ALL = tuple(facts.MEMBERS)

ENVIRONMENTS: Mapping[str, Environment] = {
    # set-up
    "uv": Environment(groups=("bootstrap",)),
    "toolkit": Environment(members=("slipway",)),
    "build": Environment(groups=("build",)),
    # installed in images, or on a developer's laptop
    "backend": Environment(members=("slipway-backend",)),
    "backup": Environment(members=("slipway-backup",)),
    "monitoring": Environment(members=("slipway-monitoring",)),
    "model": Environment(extras=(("slipway-backend", "model"),)),
    "embedded": Environment(members=("slipway-backend",), extras=_EMBEDDED),
    # unit tests: one member and the test group, nothing else
    "toolkit-test": Environment(members=("slipway",), groups=("test",)),
    "backend-test": Environment(members=("slipway-backend",), extras=_EMBEDDED, groups=("test",)),
    "backup-test": Environment(members=("slipway-backup",), groups=("test",)),
    "monitoring-test": Environment(members=("slipway-monitoring",), groups=("test",)),
    "edge-test": Environment(members=("slipway-edge",), groups=("test",)),
    "toolbox-test": Environment(members=("slipway-toolbox",), groups=("test",)),
    "postgres-test": Environment(members=("slipway-postgres",), groups=("test",)),
    "logs-test": Environment(members=("slipway-logs",), groups=("test",)),
    # the other gates
    "lint": Environment(groups=("lint",)),
    "types": Environment(members=_ALL, extras=_EMBEDDED, groups=("types", "test", "clients")),
    "security": Environment(groups=("security",)),
    "integration": Environment(
        members=_ALL, extras=_EMBEDDED, groups=("test", "clients", "security")
    ),
    "coverage": Environment(groups=("coverage",)),
    # a language model's runtime: in its image, and under test
    "llm": Environment(groups=("llm",)),
    "llm-test": Environment(
        members=("slipway-backend",), extras=_EMBEDDED, groups=("test", "clients", "llm", "gguf")
    ),
    "peers": Environment(groups=("peers",), apart=True),
}


def wanted(environment: Environment, projects: Mapping[str, Project]) -> tuple[str, ...]:
    """Return the requirements that `environment` is compiled from, sorted.

    Raises Refused when a member, extra or group is not there.
    """
    found: set[str] = set()
    for member in environment.members:
        found.update(_member(member, projects).dependencies)
    for member, extra in environment.extras:
        found.update(_member(member, projects).extra(extra))
    for group in environment.groups:
        groups = _member("slipway", projects).groups
        if group not in groups:
            raise Refused(f"pyproject.toml has no dependency group {group!r}")
        found.update(groups[group])
    return tuple(
        sorted(
            text for text in found if canonicalize_name(Requirement(text).name) not in facts.MEMBERS
        )
    )


def _member(name: str, projects: Mapping[str, Project]) -> Project:
    if name not in projects:
        raise Refused(f"{facts.MEMBERS[name]}/pyproject.toml: not there, and {name} is a member")
    return projects[name]


def everything(projects: Mapping[str, Project]) -> tuple[str, ...]:
    """Return the requirements of all environments that share their versions."""
    shared = (environment for environment in ENVIRONMENTS.values() if not environment.apart)
    sets = (wanted(environment, projects) for environment in shared)
    return tuple(sorted({text for found in sets for text in found}))


def excluded(projects: Mapping[str, Project]) -> tuple[str, ...]:
    """Return the names of packages that no lock may hold, although something asks for them."""
    names = {name for project in projects.values() for name in project.excluded}
    return tuple(sorted(canonicalize_name(name) for name in names))


def inputs_digest(requirements: tuple[str, ...], without: tuple[str, ...]) -> str:
    """Return the digest of everything that decides what a lock holds."""
    lines = (f"python {PYTHON}", *(f"without {name}" for name in without), *requirements)
    return _digest("\n".join(lines))


def text(inputs: str, body: str) -> str:
    """Return a lock file's full text: the two digests that make it checkable, then the pins."""
    return (
        "# Compiled by `invoke lock` from the members' pyproject.toml; not to be edited.\n"
        f"# inputs {inputs}\n# body {_digest(body)}\n{body}"
    )


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def stale(root: Path) -> tuple[str, ...]:
    """Return one sentence per lock under `root` that no longer fits; empty when all are fresh.

    Needs no network and no uv. Raises Refused when a pyproject.toml cannot be read.
    """
    return complaints(facts.projects(root), facts.locks(root))


def complaints(
    projects: Mapping[str, Project], locks: Mapping[str, Lock | None]
) -> tuple[str, ...]:
    """Return what is wrong with `locks`, given what the `projects` ask for."""
    without = excluded(projects)
    expected = {name: wanted(environment, projects) for name, environment in ENVIRONMENTS.items()}
    expected[CONSTRAINTS] = everything(projects)
    found = [
        f"{facts.FOLDER}/{name}.txt {complaint}"
        for name, requirements in expected.items()
        if (complaint := _complaint(locks.get(name), inputs_digest(requirements, without), without))
    ]
    found += [
        f"{facts.FOLDER}/{name}.txt belongs to no environment; delete it"
        for name in locks
        if name not in expected
    ]
    return tuple(found) or _disagreements(locks)


def _complaint(lock: Lock | None, inputs: str, without: tuple[str, ...]) -> str | None:
    if lock is None:
        return "is missing, or its first lines are not a lock's"
    if lock.inputs != inputs:
        return "is stale: a pyproject.toml has changed since it was compiled"
    if lock.body_digest != _digest(lock.body):
        return "was changed by hand after it was compiled"
    names = {name for name, _ in lock.pins}
    held = [name for name in without if name in names]
    return f"holds {', '.join(held)}, which must not be installed" if held else None


def _disagreements(locks: Mapping[str, Lock | None]) -> tuple[str, ...]:
    shared = locks[CONSTRAINTS]
    agreed = shared.pins if shared else frozenset()
    return tuple(
        f"{facts.FOLDER}/{name}.txt pins {package} {version}, and {CONSTRAINTS}.txt does not"
        for name, lock in sorted(locks.items())
        if name not in ENVIRONMENTS or not ENVIRONMENTS[name].apart
        for package, version in sorted((lock.pins if lock else frozenset()) - agreed)
    )


def refuse_stale(root: Path) -> None:
    """Raise Refused, naming each lock that no longer fits, unless all are fresh."""
    if found := stale(root):
        raise Refused("\n".join(found), next_command="invoke lock")
