"""Asking the edge of an environment: what it serves, and to switch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slipway.commands import edge as commands
from slipway.config import names
from slipway.errors import SlipwayError
from slipway.facts.engine import EngineFacts
from slipway.run import run


class SwitchRefused(SlipwayError):
    """The edge did not switch; `answers` maps each address it asked to what that said."""

    def __init__(self, message: str, answers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.answers = answers


def container(environment: str, engine: EngineFacts) -> str | None:
    """The id of the running edge container, or None."""
    return next(
        (
            each.id
            for each in engine.of(names.platform_project(environment))
            if each.service == "edge" and each.state == "running"
        ),
        None,
    )


def active(environment: str, engine: EngineFacts) -> int | None:
    """The generation that the edge serves; None without an edge, or with one that is broken."""
    found = container(environment, engine)
    try:
        return None if found is None else status(found)["generation"]
    except SlipwayError:
        return None


def status(container_id: str) -> dict[str, Any]:
    """What the edge serves: generation, addresses, requests in flight."""
    return _answer(run(commands.status(container_id), timeout=30).output)


def switch(container_id: str, generation: int) -> dict[str, Any]:
    """Switch all workers to `generation` and return the acknowledgement.

    Raises SwitchRefused with the edge's reason; the old generation then serves on.
    """
    done = run(commands.switch(container_id, generation), check=False, timeout=60)
    if done.exit_code != 0:
        try:
            answer = _answer(done.output)
            reason, answers = answer["refused"], answer.get("answers", {})
        except (SlipwayError, KeyError):
            reason, answers = (done.errors or done.output).strip(), {}
        raise SwitchRefused(
            f"The edge refused to switch to generation {generation}: {reason}", answers
        )
    return _answer(done.output)


def _answer(output: str) -> dict[str, Any]:
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise SlipwayError(f"The edge answered what nobody understands: {output[:200]}") from error
    assert isinstance(answer, dict)
    return answer
