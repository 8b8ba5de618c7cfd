"""A language model on this machine that takes its time, for the backends of an environment."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from traffic import LAST_WORDS, QUESTION

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

from scripted_llm import Reply, ScriptedLLM  # noqa: E402

PIECE_SECONDS = 0.5


@contextmanager
def slow_model(seconds: tuple[float, float]) -> Iterator[dict[str, Any]]:
    """What an overlay says of its services to use the model.

    The answer to the streams' own question takes between so many seconds; any other is answered
    at once. The model listens where containers reach this machine, and nowhere else.
    """
    engine = docker.from_env()
    gateway = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
    engine.close()
    model = ScriptedLLM(gateway)
    model.answer = lambda body: _reply(body, seconds)
    model.start()
    try:
        yield {
            "backend": {
                "environment": {"LLM_BASE_URL": model.base_url, "LLM_MODEL": model.model},
                "networks": ["models"],
            }
        }
    finally:
        model.stop()


def _reply(body: dict[str, Any], seconds: tuple[float, float]) -> Reply:
    if QUESTION not in str(body["messages"]):
        return Reply(("It says so there [1][2][3][4][5].",))
    count = int(random.uniform(*seconds) / PIECE_SECONDS)  # noqa: S311
    pieces = [f"Sailing {number} leaves on time [1]. " for number in range(count - 1)]
    return Reply((*pieces, f"{LAST_WORDS} [1]."), every=PIECE_SECONDS)
