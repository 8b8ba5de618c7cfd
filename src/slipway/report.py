"""Measured figures, written as JSON with a Markdown twin beside it."""

from __future__ import annotations

import json
import operator
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Result:
    """One figure: `value` in `unit`, what it should be, and what it was measured against.

    `goal` is a comparison such as `<= 1.25` or `== 0`, or empty. A `value` of None was not
    measured; `note` then says why.
    """

    name: str
    value: float | None
    unit: str
    goal: str = ""
    against: str = ""
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the goal is met; None without a goal or without a value."""
        if self.value is None or not self.goal:
            return None
        sign, _, limit = self.goal.partition(" ")
        return _COMPARISONS[sign](self.value, float(limit))


def write(
    folder: Path,
    topic: str,
    results: Sequence[Result],
    *,
    commit: str,
    release: str = "",
    engine: str = "",
    now: datetime | None = None,
) -> Path:
    """Write `folder`/`topic`.json and its twin; returns the path of the JSON file."""
    report = {
        "topic": topic,
        "time": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
        "commit": commit,
        "release": release,
        "machine": machine(engine),
        "results": [{**asdict(result), "ok": result.ok} for result in results],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{topic}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    path.with_suffix(".md").write_text(markdown(report))
    return path


def machine(engine: str = "") -> dict[str, Any]:
    """The machine that was measured: cores, memory in GiB, kernel, engine version."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory": round(memory / (1 << 30), 1),
        "kernel": platform.release(),
        "engine": engine,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """A report as a page for people."""
    shown = report["machine"]
    lines = [
        f"# {report['topic']}",
        "",
        f"{report['time']}, commit {report['commit'] or 'none'}, {shown['cores']} cores, "
        f"{shown['memory']} GiB, kernel {shown['kernel']}, engine {shown['engine'] or 'none'}",
        "",
        "| what | value | goal | met | against | note |",
        "|---|---|---|---|---|---|",
    ]
    for each in report["results"]:
        value = "not measured" if each["value"] is None else f"{each['value']:g} {each['unit']}"
        met = {True: "yes", False: "NO", None: ""}[each["ok"]]
        lines.append(
            f"| {each['name']} | {value} | {each['goal']} | {met} | {each['against']} "
            f"| {each['note']} |"
        )
    return "\n".join(lines) + "\n"
