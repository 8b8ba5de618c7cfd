"""`invoke history`: what was released to an environment, and whether the record is whole."""

from __future__ import annotations

import json as formats
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import invoke

from slipway import console, target
from slipway.config import environment as environments
from slipway.config import names
from slipway.config.layout import checkout
from slipway.errors import Refused, SlipwayError
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.facts.state import StateFacts
from slipway.tasks.door import task

UNKNOWN = "-"


@task(
    help={
        "env": "the environment whose history to print",
        "json": "print the lines as one JSON array, as they were written",
        "last": "how many lines, newest last; 0 is all of them",
    },
    default=True,
)
def history(_context: invoke.Context, env: str = "", json: bool = False, last: str = "20") -> None:
    """Print who released what, when and from where, how it ended, and what it cost."""
    # A flag that Invoke itself takes for a number ends with a traceback where it is none.
    if not (last.isascii() and last.isdigit()):
        raise Refused(f"--last {last} is no number of lines: 0 is all of them")
    found = _read(env, int(last))
    if json:
        console.say(formats.dumps([dict(line) for line in found.ledger], indent=2))
    else:
        console.say(table(found.ledger) if found.ledger else f"{env}: nothing was released yet")
    if found.altered is not None:
        console.warn(f"line {found.altered} of the ledger of {env} was altered")


@task(help={"env": "the environment whose history to check"})
def verify(_context: invoke.Context, env: str = "") -> None:
    """Check that no line of an environment's history was altered or taken away.

    Ends with exit code 1 and the number of the first line that is not as it was written.
    """
    found = _read(env, 0)
    if found.altered is not None:
        missing = found.altered > len(found.ledger)
        raise SlipwayError(
            f"line {found.altered} of the ledger of {env} "
            + ("is missing" if missing else "is not as it was written"),
            next_command=f"invoke history --env {env} --last 0",
        )
    head = f", the last one is {found.head['hash'][:16]}" if found.head else ""
    console.say(f"ok: {len(found.ledger)} lines{head}")


def table(ledger: tuple[Mapping[str, Any], ...]) -> str:
    """The lines of a ledger for a person; what an older release did not write is a dash."""
    rows = [
        ("", "when (UTC)", "what", "version", "serves", "result", "took", "requests", "by"),
        *(_row(line) for line in ledger),
    ]
    printed = console.aligned(rows)
    indent = max(len(row[0]) for row in rows)
    for place, line in reversed([*enumerate(ledger, 1)]):
        if line.get("reason"):
            printed.insert(place + 1, f"{'':{indent}}  {line['reason']}")
    return "\n".join(printed)


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    when = datetime.fromtimestamp(line["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    source = f" from {line['source']}" if line.get("source") else ""
    requests = line.get("requests")
    return (
        str(line["number"]),
        when,
        line.get("kind", "release") + source,
        str(line.get("version", UNKNOWN)),
        f"g{line['generation']}" if "generation" in line else UNKNOWN,
        str(line.get("result", UNKNOWN)),
        f"{line['seconds']:.0f} s" if "seconds" in line else UNKNOWN,
        f"{requests['served']} served, {requests['failed']} lost" if requests else UNKNOWN,
        str(line.get("holder", UNKNOWN)),
    )


def _read(name: str, history: int) -> StateFacts:
    environment = environments.load(name, checkout())
    volume = names.state_volume(name)
    with target.reached(environment) as reached:
        engine = reached.engine
        if volume not in engine_facts.read(engine, name).volumes:
            return StateFacts()
        return state_facts.read(
            engine_facts.toolbox(engine, environment.registry), volume, history=history
        )
