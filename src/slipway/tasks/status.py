"""`invoke status`: what an environment serves, and how it fares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import docker
import invoke

from slipway import console, edge, monitoring, target
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.engine import EngineFacts
from slipway.facts.monitoring import Budgets
from slipway.facts.state import StateFacts
from slipway.plans import drift
from slipway.tasks.door import task

# Attributes that are named in the one line about drift.
SHOWN = 3


@task(
    help={
        "env": "the environment to look at",
        "json": "print everything as one JSON object",
    }
)
def status(_context: invoke.Context, env: str = "", json: bool = False) -> None:
    """Say what an environment serves: release, generation, containers, requests in flight.

    Ends with exit code 1 when it does not serve.
    """
    environment = environments.load(env, checkout())
    with target.reached(environment) as reached:
        running = engine_facts.read(reached.engine, env)
        report = describe(env, running) | {"url": environment.url}
        known = _state(reached.engine, environment.registry, env, running)
        report["monitoring"] = monitoring.seen(env, running)
    found = drift.drift(env, running, known, report["generation"])
    report["drift"] = None if found is None else [each.plain() for each in found]
    console.say(_text(report) if not json else _as_json(report))
    if not report["serving"]:
        raise SlipwayError(
            f"{env} does not serve", next_command=f"invoke release --env {env} --plan"
        )


def _state(
    engine: docker.DockerClient, registry: str, name: str, running: EngineFacts
) -> StateFacts:
    """What the state says; nothing where it cannot be read, which is no reason to say nothing."""
    volume = names.state_volume(name)
    if volume not in running.volumes:
        return StateFacts()
    try:
        return state_facts.read(engine_facts.toolbox(engine, registry), volume)
    except SlipwayError as error:
        console.warn(error.message)
        return StateFacts()


def describe(name: str, running: EngineFacts) -> dict[str, Any]:
    """Everything that `status` shows, as plain values."""
    container = edge.container(name, running)
    try:
        answer = None if container is None else edge.status(container)
    except SlipwayError as error:
        console.warn(f"the edge does not answer: {error.message}")
        answer = None
    generation = None if answer is None else answer["generation"]
    containers = [
        {
            "name": each.name,
            "service": each.service,
            "generation": names.generation_of(name, each.project),
            "condition": each.condition,
            "release": each.release,
            "image": each.image,
            "restarts": each.restarts,
            "started": each.started,
        }
        for each in running.containers
    ]
    addresses = [] if answer is None else answer["addresses"]
    return {
        "environment": name,
        "serving": edge.reachable(name, running) and any(each["ready"] for each in addresses),
        "generation": generation,
        "edge": answer,
        "door": edge.serving(name, running),
        "containers": containers,
    }


def _as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=2)


def _text(report: dict[str, Any]) -> str:
    if not report["containers"]:
        return f"{report['environment']}: nothing runs"
    state = "serves" if report["serving"] else "DOES NOT SERVE"
    lines = [
        f"{report['environment']} {state} generation {report['generation']} at {report['url']}"
    ]
    under = (report["edge"] or {}).get("maintenance")
    if under:
        lines.append(f"  {_maintenance(under)}")
    if report["door"] not in {None, names.EDGES[0]}:
        lines.append(f"  new connections go to {report['door']}")
    width = max(len(each["name"]) for each in report["containers"])
    for each in report["containers"]:
        restarts = f"  {each['restarts']} restarts" if each["restarts"] else ""
        lines.append(
            f"  {each['name']:<{width}}  {each['condition']:<10} {each['release']}{restarts}"
        )
    for address in (report["edge"] or {}).get("addresses", ()):
        ready = "ready" if address["ready"] else "NOT READY"
        lines.append(f"  edge -> {address['address']}  {ready}, {address['in_flight']} in flight")
    lines.append(_drift(report["drift"]))
    lines += _monitoring(report["environment"], report["monitoring"])
    return "\n".join(lines)


def _maintenance(under: Mapping[str, Any]) -> str:
    since = datetime.fromtimestamp(under["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    told = f": {under['message']}" if under["message"] else ""
    return f"UNDER MAINTENANCE since {since}, callers are answered 503{told}"


def _drift(found: list[dict[str, str]] | None) -> str:
    """One line about what is not as it was released."""
    if found is None:
        return "  drift: not known, because no configuration of what runs is kept"
    if not found:
        return "  drift: none, everything is as it was released"
    named = ", ".join(f"{each['subject']} ({each['attribute']})" for each in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"  drift: {len(found)} attributes are not as released: {named}{more}; see --json"


def _monitoring(name: str, seen: Mapping[str, Any] | None) -> list[str]:
    """What those who watch say; nothing where nobody does."""
    if seen is None:
        return []
    lines = []
    if seen["alerts"] is not None:
        told = [each for each in seen["alerts"] if each["state"] == "told"]
        named = ", ".join(f"{each['name']} ({each['severity']})" for each in told[:SHOWN])
        more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        lines.append(
            f"  alerts: {named}{more}; see invoke alerts --env {name}" if told else "  alerts: none"
        )
    if seen["budgets"]:
        lines.append(f"  error budget left: {Budgets(seen['budgets'])}")
    if seen["unknown"]:
        lines.append(f"  monitoring DOES NOT ANSWER: {seen['unknown']}")
    return lines
