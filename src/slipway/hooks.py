"""A site's own programs before and after a release, in the folder of its environment."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway import console
from slipway.config.environment import Environment
from slipway.config.layout import Layout
from slipway.errors import Refused, SlipwayError
from slipway.run import run_told

NAMES = ("before-release", "after-release", "before-rollback", "after-rollback")


@dataclass(frozen=True)
class Hooks:
    """The hooks of one environment; `there` maps the name of each to the hash of its content."""

    layout: Layout
    name: str
    environment: Environment
    there: Mapping[str, str]

    def before(self, kind: str, told: Mapping[str, Any]) -> None:
        """Run `before-KIND`, where there is one. Raises Refused when it does not agree."""
        hook = f"before-{kind}"
        try:
            exit_code = self._run(hook, told, {})
        except SlipwayError as error:
            raise Refused(f"the hook {self._shown(hook)} failed: {error.message}") from error
        if exit_code:
            raise Refused(
                f"the hook {self._shown(hook)} refused the {kind} (exit code {exit_code}); "
                "what it said is above"
            )

    def after(self, kind: str, told: Mapping[str, Any], outcome: Mapping[str, str]) -> Any:
        """Run `after-KIND`, where there is one, and return what the ledger keeps of it.

        `outcome` are environment variables that say how it ended. A failure is a warning:
        what was released is released.
        """
        hook = f"after-{kind}"
        if hook not in self.there:
            return {}
        began = time.monotonic()
        try:
            exit_code = self._run(hook, told, outcome)
            failure = f"ended with exit code {exit_code}" if exit_code else ""
        except SlipwayError as error:
            failure = error.message
        if failure:
            console.warn(f"the hook {self._shown(hook)}: {failure}")
        seconds = round(time.monotonic() - began, 1)
        return {hook: {"result": "failed" if failure else "done", "seconds": seconds}}

    def of(self, kind: str) -> tuple[str, ...]:
        """The hooks that a release or rollback runs."""
        return tuple(hook for hook in (f"before-{kind}", f"after-{kind}") if hook in self.there)

    def _run(self, hook: str, told: Mapping[str, Any], outcome: Mapping[str, str]) -> int:
        if hook not in self.there:
            return 0
        variables = {
            "SLIPWAY_HOOK": hook,
            "SLIPWAY_ENVIRONMENT": self.name,
            "SLIPWAY_URL": self.environment.url,
            "SLIPWAY_VERSION": str(told["version"]),
            "SLIPWAY_GENERATION": str(told["generation"]),
            "SLIPWAY_PREVIOUS_GENERATION": str(told["previous"] or ""),
            "SLIPWAY_PLAN": str(told["hash"]),
            **outcome,
        }
        console.say(f"hook {hook}:")
        done = run_told(
            (str(self.layout.hooks(self.name) / hook),),
            input=json.dumps(told),
            env=variables,
            cwd=self.layout.root,
            seconds=self.environment.hook_seconds,
            on_line=lambda line: console.say(f"  {hook} | {line}"),
        )
        if done.left:
            console.warn(
                f"the hook {self._shown(hook)} left something running that held its output, which "
                "was not waited for; send the output of what is to stay elsewhere"
            )
        return done.exit_code

    def _shown(self, hook: str) -> str:
        return self.layout.shown(self.layout.hooks(self.name) / hook)


def read(layout: Layout, name: str, environment: Environment) -> Hooks:
    """Find the hooks of an environment. Raises Refused for one that would never be run.

    A file that nobody may execute, or whose name is none of the four, is a gate that its author
    believes to be shut. Folders, and names with a dot, are the hooks' own business.
    """
    folder = layout.hooks(name)
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() or "." in path.name:
            continue
        if path.name not in NAMES:
            raise Refused(
                f"{layout.shown(path)}: no hook has this name (there are: {', '.join(NAMES)})",
                next_command=f"mv {layout.shown(path)} {layout.shown(folder / NAMES[0])}",
            )
        if not os.access(path, os.X_OK):
            raise Refused(
                f"{layout.shown(path)}: not executable, so it would not be run",
                next_command=f"chmod +x {layout.shown(path)}",
            )
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Hooks(layout, name, environment, found)
