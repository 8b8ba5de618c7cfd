"""Asking those who watch an environment, where any do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from slipway.commands import monitoring as commands
from slipway.config import names
from slipway.config.environment import Environment
from slipway.config.monitoring import ALERTMANAGER, CONSOLE, PROMETHEUS
from slipway.errors import CommandFailed, Refused, SlipwayError
from slipway.facts import monitoring as facts
from slipway.facts.engine import Container, Running
from slipway.facts.monitoring import Alert, Budgets
from slipway.run import run

#: As many lines of the ledger as the console's page of releases shows.
SHOWN_LINES = 200
TELL_SECONDS = 30


def budgets(name: str, running: Running) -> Budgets:
    """What is left of each objective's budget of errors, or why that is not known."""
    found = _container(name, running, PROMETHEUS)
    if found is None:
        return Budgets()
    if found.state != "running":
        return Budgets(unknown=f"{found.name} does not run")
    try:
        return Budgets(facts.budgets(found.id))
    except CommandFailed as failed:
        said = failed.last_lines[-1:] or [f"exit code {failed.process_exit_code}"]
        return Budgets(unknown=f"{found.name}: {said[0]}")
    except SlipwayError as error:
        return Budgets(unknown=f"{found.name}: {error.message}")


def alerts(name: str, running: Running) -> tuple[Alert, ...] | None:
    """What fires; None where nobody watches. Raises SlipwayError when Alertmanager is silent."""
    found = _container(name, running, ALERTMANAGER)
    return None if found is None else facts.alerts(found.id)


def seen(name: str, running: Running) -> dict[str, Any] | None:
    """Alerts and budgets as plain values, or why they are not known; None where nobody watches."""
    try:
        firing = alerts(name, running)
    except SlipwayError as error:
        return {"unknown": error.message, "alerts": None, "budgets": None}
    if firing is None:
        return None
    left = budgets(name, running)
    return {
        "unknown": left.unknown,
        "alerts": [asdict(each) for each in firing],
        "budgets": None if left.unknown else dict(left.left),
    }


def tell(name: str, running: Running, ledger: Sequence[Mapping[str, Any]]) -> None:
    """Have the console show what was released; nothing where none runs. Raises SlipwayError."""
    found = _container(name, running, CONSOLE)
    if found is None or found.state != "running":
        return
    lines = json.dumps([dict(line) for line in ledger[-SHOWN_LINES:]])
    run(commands.releases(found.id), input=lines, timeout=TELL_SECONDS)


def require(name: str, environment: Environment, running: Running) -> str:
    """The id of Alertmanager's container. Raises Refused where nobody watches."""
    found = _container(name, running, ALERTMANAGER)
    if found is not None:
        return found.id
    if environment.monitoring == "none":
        raise Refused(
            f"Nobody watches {name}: its file says `monitoring: none`",
            next_command=f"edit infra/compose/environments/{name}.yaml, and release",
        )
    raise Refused(f"Nobody watches {name} yet", next_command=f"invoke release --env {name}")


def _container(name: str, running: Running, service: str) -> Container | None:
    found = running.of(names.platform_project(name))
    return next((each for each in found if each.service == service), None)
