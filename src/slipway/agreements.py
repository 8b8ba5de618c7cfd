"""Plans that were shown to somebody, kept in the checkout so that a later one can be told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slipway.config.layout import Layout
from slipway.errors import Refused
from slipway.plans.preview import Preview, differing

KEPT = 50
SHOWN = 20


def keep(layout: Layout, preview: Preview) -> None:
    """Keep a plan that was shown; only the newest ones stay."""
    path = _path(layout, preview.plan.environment, preview.plan.hash)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(preview.plain(), indent=1))
    old = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)[:-KEPT]
    for each in old:
        each.unlink(missing_ok=True)


def refuse_other(layout: Layout, preview: Preview, expected: str) -> None:
    """Refuse any plan but the one of hash `expected`, saying what differs; empty expects none."""
    if not expected or preview.plan.hash == expected:
        return
    path = _path(layout, preview.plan.environment, expected)
    before = _read(path)
    if before is None:
        differs = "That one was made in another checkout; what would be done now is above."
    else:
        lines = differing(before, preview.plain())
        more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        lines = [f"  {line}" for line in lines[:SHOWN]] + more
        differs = "\n".join(
            ["What differs, then and now:", *lines]
            if lines
            else ["The difference is in a file that a hook or a setting is made of."]
        )
    raise Refused(
        f"The plan is now {preview.plan.hash}, not {expected}. {differs}",
        next_command=f"invoke release --env {preview.plan.environment} --plan",
    )


def _path(layout: Layout, environment: str, name: str) -> Path:
    # The hash comes from a command line.
    return layout.local / "plans" / environment / f"{Path(name).name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
