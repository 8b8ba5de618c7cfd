"""Ask an advisory service about every version that is locked, and believe only a real answer.

pip-audit reports success when a service answers 404 or nothing for every package. So before a
service is believed it has to know a fault that is years old (the canary), and afterwards its
report has to account for every version that it was asked about.
"""

from __future__ import annotations

import datetime
import enum
import json
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from slipway.errors import Refused, SlipwayError
from slipway.facts import lock
from slipway.run import run

#: A site's own OSV-compatible service, asked in place of the public ones.
URL_VARIABLE = "SLIPWAY_ADVISORIES_URL"

#: Set to 1 where an audit that could not run is a failure, such as in the workflows.
STRICT_VARIABLE = "SLIPWAY_STRICT"

#: Executes code from a document; every advisory service has known it since 2020.
CANARY = ("pyyaml", "5.3")

#: Seconds that one answer, and a whole report, may take.
ANSWER_SECONDS = 15
REPORT_SECONDS = 600

Pin = tuple[str, str]


class Outcome(enum.Enum):
    """How an audit ended."""

    CLEAN = "clean"
    VULNERABLE = "vulnerable"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Audit:
    """The outcome, and one text for the person who reads the gate's output."""

    outcome: Outcome
    text: str

    @property
    def headline(self) -> str:
        """The first line of the text, for a table of outcomes."""
        return self.text.partition("\n")[0].rstrip(":")

    def fatal(self, environ: Mapping[str, str]) -> bool:
        """Whether the gate fails: on a fault always, on no answer under SLIPWAY_STRICT=1."""
        strict = environ.get(STRICT_VARIABLE) == "1"
        return self.outcome is Outcome.VULNERABLE or (self.outcome is Outcome.NOT_RUN and strict)


@dataclass(frozen=True)
class Service:
    """An advisory service, by pip-audit's name for it; `url` only for a site's own."""

    kind: str
    url: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that make pip-audit ask this service."""
        url = (f"--osv-url={self.url}",) if self.url else ()
        return (f"--vulnerability-service={self.kind}", *url)


class NoAnswer(SlipwayError):
    """The service could not be reached, or what it answered is not a report."""


def services(environ: Mapping[str, str]) -> tuple[Service, ...]:
    """Return the services to try, in order."""
    if url := environ.get(URL_VARIABLE):
        return (Service("osv", url),)
    return (Service("osv"), Service("pypi"))


def audit(root: Path, pip_audit: Path, environ: Mapping[str, str]) -> Audit:
    """Ask about every version pinned below `root`, of the first service that really answers.

    Raises Refused when the list of accepted advisories is not well formed.
    """
    locks = {name: found.pins for name, found in lock.locks(root).items() if found}
    pins = sorted({pin for found in locks.values() for pin in found})
    accepted = accepted_advisories(root, datetime.datetime.now(datetime.UTC).date())
    reasons = []
    for service in services(environ):
        try:
            if not ask(pip_audit, service, [CANARY])[CANARY]:
                raise NoAnswer(f"it does not know the fault in {CANARY[0]} {CANARY[1]}")
            faults = ask(pip_audit, service, pins, accepted)
        except NoAnswer as error:
            reasons.append(f"{service.url or service.kind}: {error.message}")
            continue
        open_faults = {pin: ids for pin, ids in faults.items() if ids}
        if not open_faults:
            return Audit(Outcome.CLEAN, f"{len(pins)} locked versions, no known fault")
        return Audit(Outcome.VULNERABLE, _complaint(open_faults, locks))
    return Audit(Outcome.NOT_RUN, "\n  ".join(["not run: no advisory service", *reasons]))


def _complaint(faults: Mapping[Pin, frozenset[str]], locks: Mapping[str, frozenset[Pin]]) -> str:
    lines = ["locked versions with known faults:"]
    for (name, version), ids in sorted(faults.items()):
        where = ", ".join(sorted(n for n, pins in locks.items() if (name, version) in pins))
        lines.append(f"  {name} {version}: {', '.join(sorted(ids))} (in {where})")
    return "\n".join([*lines, "next: invoke lock --package NAME"])


def accepted_advisories(root: Path, today: datetime.date) -> frozenset[str]:
    """Return the advisories that pyproject.toml accepts and whose time is not up.

    Raises Refused when an entry of [[tool.slipway.accepted-advisories]] lacks its id, its reason
    or its last day (`until`).
    """
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    entries = table.get("tool", {}).get("slipway", {}).get("accepted-advisories", [])
    for entry in entries:
        dated = isinstance(entry.get("until"), datetime.date)
        if not (dated and entry.get("id") and entry.get("reason")):
            raise Refused(
                "pyproject.toml: an entry of tool.slipway.accepted-advisories needs "
                f"id, reason and until (a date); it has {', '.join(sorted(entry)) or 'none'}"
            )
    return frozenset(entry["id"] for entry in entries if entry["until"] >= today)


def ask(
    pip_audit: Path, service: Service, pins: Sequence[Pin], accepted: frozenset[str] = frozenset()
) -> dict[Pin, frozenset[str]]:
    """Return the advisories of each of `pins`, as `service` knows them, without `accepted` ones.

    Raises NoAnswer when it cannot be reached or does not account for every one of them.
    """
    faults: dict[Pin, frozenset[str]] = {}
    for batch in _batches(pins):
        faults.update(_parse(_report(pip_audit, service, batch), accepted))
        if missing := [f"{pin[0]} {pin[1]}" for pin in batch if pin not in faults]:
            raise NoAnswer(f"it says nothing about {len(missing)} versions, such as {missing[0]}")
    return faults


def _batches(pins: Iterable[Pin]) -> Iterator[list[Pin]]:
    """Split `pins` so that no batch names a package twice, which pip-audit refuses."""
    waiting = list(pins)
    while waiting:
        batch = dict(reversed(waiting))
        yield sorted(batch.items())
        waiting = [pin for pin in waiting if batch[pin[0]] != pin[1]]


def _report(pip_audit: Path, service: Service, pins: Sequence[Pin]) -> str:
    with tempfile.TemporaryDirectory(prefix="slipway-audit-") as scratch:
        asked, answered = Path(scratch) / "pins.txt", Path(scratch) / "report.json"
        asked.write_text("".join(f"{n}=={v}\n" for n, v in pins), encoding="utf-8")
        argv = (
            str(pip_audit),
            *service.arguments,
            f"--requirement={asked}",
            "--no-deps",
            "--disable-pip",
            "--format=json",
            "--aliases=on",
            "--desc=off",
            f"--output={answered}",
            f"--cache-dir={scratch}/cache",
            f"--timeout={ANSWER_SECONDS}",
            "--progress-spinner=off",
        )
        try:
            done = run(argv, check=False, timeout=REPORT_SECONDS)
        except SlipwayError as error:
            raise NoAnswer(error.message) from error
        if not answered.is_file():
            raise NoAnswer((done.errors.strip().splitlines() or ["no report"])[-1][:200])
        return answered.read_text(encoding="utf-8")


def _parse(report: str, accepted: frozenset[str]) -> dict[Pin, frozenset[str]]:
    try:
        return {
            (canonicalize_name(entry["name"]), entry["version"]): frozenset(
                fault["id"]
                for fault in entry["vulns"]
                if accepted.isdisjoint({fault["id"], *fault["aliases"]})
            )
            for entry in json.loads(report)["dependencies"]
            if "skip_reason" not in entry
        }
    except (ValueError, KeyError, TypeError) as error:
        raise NoAnswer(f"its report cannot be read: {error}") from error
