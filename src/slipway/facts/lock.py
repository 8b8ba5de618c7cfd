"""What the members ask for, and what the lock files in requirements/ say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slipway.errors import Refused

FOLDER = "requirements"

#: Member -> its folder.
MEMBERS: Mapping[str, str] = {
    "slipway": ".",
    "slipway-backend": "services/backend",
    "slipway-backup": "services/backup",
    "slipway-monitoring": "services/monitoring",
    "slipway-edge": "infra/nginx/agent",
    "slipway-toolbox": "infra/toolbox",
    "slipway-postgres": "infra/postgres",
    "slipway-logs": "infra/logs",
}

_HEADER = re.compile(r"\A# [^\n]*\n# inputs (?P<inputs>\w+)\n# body (?P<body>\w+)\n")


@dataclass(frozen=True)
class Lock:
    """One lock file: the two digests its first lines state, and the text below them."""

    inputs: str
    body_digest: str
    body: str

    @property
    def pins(self) -> frozenset[tuple[str, str]]:
        """Return every (name, version) that the lock pins, on whatever platform."""
        return frozenset(
            (canonicalize_name(match["name"]), match["version"])
            for match in _PIN.finditer(self.body)
        )


_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9][\w.\-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE
)


@dataclass(frozen=True)
class Project:
    """The dependency tables of one pyproject.toml, as requirement strings."""

    name: str
    dependencies: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()

    def extra(self, name: str) -> tuple[str, ...]:
        """Return what the extra `name` adds, with extras of this same member written out.

        Raises Refused when there is no such extra.
        """
        if name not in self.extras:
            raise Refused(
                f"{MEMBERS[self.name]}/pyproject.toml has no extra {name!r} "
                f"(have: {', '.join(sorted(self.extras)) or 'none'})"
            )
        found: list[str] = []
        for text in self.extras[name]:
            requirement = Requirement(text)
            if canonicalize_name(requirement.name) == self.name:
                for other in sorted(requirement.extras):
                    found.extend(self.extra(other))
            else:
                found.append(text)
        return tuple(found)


def projects(root: Path) -> dict[str, Project]:
    """Read the pyproject.toml of every member under `root` that has one."""
    files = {name: root / folder / "pyproject.toml" for name, folder in MEMBERS.items()}
    return {name: _project(name, file) for name, file in files.items() if file.is_file()}


def _project(name: str, file: Path) -> Project:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{file}: not valid TOML: {error}") from error
    project = table.get("project", {})
    groups = table.get("dependency-groups", {})
    return Project(
        name=name,
        dependencies=tuple(project.get("dependencies", ())),
        extras={
            key: tuple(value) for key, value in project.get("optional-dependencies", {}).items()
        },
        groups={key: _group(key, groups) for key in groups},
        excluded=tuple(table.get("tool", {}).get("uv", {}).get("exclude-dependencies", ())),
    )


def _group(name: str, groups: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    found: list[str] = []
    for entry in groups[name]:
        if isinstance(entry, str):
            found.append(entry)
        else:
            found.extend(_group(entry["include-group"], groups))
    return tuple(found)


def read(file: Path) -> Lock | None:
    """Read one lock file; None when there is none, or when its first lines are not a lock's."""
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8")
    match = _HEADER.match(text)
    return Lock(match["inputs"], match["body"], text[match.end() :]) if match else None


def locks(root: Path) -> dict[str, Lock | None]:
    """Read every lock file under `root`, by the name of its environment."""
    return {file.stem: read(file) for file in sorted((root / FOLDER).glob("*.txt"))}
