"""What a person reads, and agrees to, before a release: its steps and everything around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.facts.monitoring import Budgets
from slipway.plans.differences import Difference
from slipway.plans.estimate import Estimate
from slipway.plans.migrations import Migrations
from slipway.plans.release import Plan
from slipway.plans.steps import Kind

MEBI = 1 << 20
# Of a service that is new, what it is matters, not that each setting is another than before.
TELLING = ("image", "replicas", "memory", "cpus", "port", "mount", "network")


@dataclass(frozen=True)
class Image:
    """An image of the release, old and new; `build` when it is made first.

    `identity` is what it is made of, the same before and after the build.
    """

    name: str
    before: str | None
    after: str
    identity: str
    build: bool
    missing: int | None

    def __str__(self) -> str:
        before = short(self.before) if self.before else "nothing"
        if self.build:
            return f"{self.name}: {before} -> to be built from {self.identity}"
        return f"{self.name}: {before} -> {short(self.after)}"


@dataclass(frozen=True)
class Gap:
    """A step that stops before it starts, and how long it took last time, and in which line."""

    subject: str
    seconds: float | None
    line: int | None

    def __str__(self) -> str:
        last = (
            "not known how long"
            if self.seconds is None
            else f"at most {self.seconds:.1f} s last time (line {self.line} of the ledger)"
        )
        return f"{self.subject} is stopped before it is started: a gap, {last}"


@dataclass(frozen=True)
class Preview:
    """A plan with what it changes, what it costs and what is wrong before it."""

    plan: Plan
    url: str
    version: str
    images: tuple[Image, ...]
    changes: tuple[Difference, ...]
    secrets: tuple[Difference, ...]
    drift: tuple[Difference, ...]
    budgets: Budgets
    migrations: Migrations
    gaps: tuple[Gap, ...]
    estimate: Estimate
    hooks: tuple[str, ...]

    @property
    def transfer(self) -> int:
        """Bytes that the engine has to fetch of the images that exist."""
        return sum(image.missing or 0 for image in self.images)

    def plain(self) -> dict[str, Any]:
        """Everything, for a program; `hash` covers all but what changes by itself."""
        return {
            "environment": self.plan.environment,
            "url": self.url,
            "version": self.version,
            "hash": self.plan.hash,
            "generation": self.plan.generation,
            "previous": self.plan.previous,
            "steps": [
                {"kind": str(step.kind), "subject": step.subject, "reason": step.reason}
                for step in self.plan.steps
            ],
            "images": [
                {
                    "name": image.name,
                    "before": image.before,
                    "after": None if image.build else image.after,
                    "identity": image.identity,
                    "build": image.build,
                }
                for image in self.images
            ],
            "changes": [each.plain() for each in self.changes],
            "secrets": [each.plain() for each in self.secrets],
            "migrations": {
                "known": self.migrations.known,
                "now": [f"{each.name}:{each.phase}" for each in self.migrations.now],
                "later": [f"{each.name}:{each.phase}" for each in self.migrations.later],
            },
            "point": self.plan.point,
            "hooks": list(self.hooks),
            "drift": [each.plain() for each in self.drift],
            "budgets": dict(self.budgets.left),
            "gaps": [
                {"subject": gap.subject, "seconds": gap.seconds, "line": gap.line}
                for gap in self.gaps
            ],
            "transfer": {
                "bytes": self.transfer,
                "not_known": [image.name for image in self.images if image.missing is None],
            },
            "estimate": {
                "seconds": self.estimate.seconds,
                "releases": self.estimate.releases,
                "unknown": list(self.estimate.unknown),
            },
        }

    def __str__(self) -> str:
        sections: list[tuple[str, list[str]]] = [
            ("images", [str(image) for image in self.images if image.before != image.after]),
            *self._settings(),
            ("secrets", [f"{each.subject}: {each}" for each in self.secrets]),
            ("not as released", [f"{each.subject}: {each}" for each in self.drift]),
            ("error budget left", [str(self.budgets)] if self.budgets.left else []),
            ("rests on", [f"recovery point {self.plan.point}"] if self.plan.point else []),
            ("schema changes", self.migrations.lines() if self.plan.of(Kind.MIGRATE) else []),
            ("hooks", list(self.hooks)),
            ("gaps", [str(gap) for gap in self.gaps]),
            ("to fetch", [self._fetch()]),
            ("takes", [str(self.estimate)]),
        ]
        plan = self.plan
        lines = [f"plan {plan.hash} for {plan.environment} at {self.url}:", str(plan)]
        for title, content in sections:
            lines += [f"  {title}:", *(f"    {line}" for line in content)] if content else []
        return "\n".join(lines)

    def _settings(self) -> list[tuple[str, list[str]]]:
        found: dict[str, list[str]] = {}
        new = {
            each.subject
            for each in self.changes
            if each.attribute == "replicas" and each.before is None
        }
        for each in self.changes:
            if each.subject in new:
                if each.attribute.startswith(TELLING):
                    found.setdefault(each.subject, []).append(f"{each.attribute}: {each.shown[1]}")
            else:
                found.setdefault(each.subject, []).append(str(each))
        return [
            (f"{service} (new)" if service in new else service, lines)
            for service, lines in found.items()
        ]

    def _fetch(self) -> str:
        later = [image.name for image in self.images if image.missing is None]
        without = f", without {', '.join(later)}, known once built" if later else ""
        return f"{self.transfer / MEBI:.1f} MiB{without}"


def short(reference: str) -> str:
    """A reference as a person tells it from another: the beginning of its digest."""
    _, _, digest = reference.partition("@sha256:")
    return digest[:12] if digest else reference


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two plans as `plain` gave them, leaving out what a hash leaves out."""
    skipped = (
        "hash",
        "estimate",
        "drift",
        "transfer",
        "gaps",
        "version",
        "url",
        "point",
        "budgets",
    )
    one, other = (
        dict(_flat({key: value for key, value in each.items() if key not in skipped}))
        for each in (before, after)
    )
    return [
        f"{path}: {one.get(path, 'nothing')} -> {other.get(path, 'nothing')}"
        for path in [*one, *(path for path in other if path not in one)]
        if one.get(path) != other.get(path)
    ]


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        if "subject" in value and "after" in value:
            named = f"{path} {value['subject']} {value['attribute']}"
            return [(named, f"{value['before']} => {value['after']}")]
        if "identity" in value:
            return [(f"{path} {value['name']}", value["identity"])]
        return [
            pair for key, each in value.items() for pair in _flat(each, f"{path} {key}".strip())
        ]
    if isinstance(value, list):
        if value and isinstance(value[0], Mapping) and "after" in value[0]:
            return [pair for each in value for pair in _flat(each, path)]
        return [
            pair for number, each in enumerate(value, 1) for pair in _flat(each, f"{path} {number}")
        ]
    return [(path, str(value))]
