"""One block says why a container does not serve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slipway import diagnosis
from slipway.facts.engine import Container, Probe

BAD = Probe("2026-01-02T03:04:05.678901234Z", 1, "503 starting")
GOOD = replace(BAD, exit_code=0, output="fine")
SICK = Container(
    id="1",
    name="slipway-dev-g2-backend-1",
    project="slipway-dev-g2",
    service="backend",
    image="image",
    config_hash="",
    release="",
    state="running",
    health="unhealthy",
    exit_code=0,
    out_of_memory=False,
    restarts=0,
    started="",
    memory_limit=768 << 20,
    probes=(BAD, GOOD, BAD, BAD),
)


def test_the_block_has_state_probes_and_log() -> None:
    assert diagnosis.describe(SICK, ["first", "last"]) == (
        "  slipway-dev-g2-backend-1 is unhealthy (running, but its health check fails)\n"
        "    probe at 2026-01-02T03:04:05: exit code 1: 503 starting\n"
        "    probe at 2026-01-02T03:04:05: exit code 1: 503 starting\n"
        "    last log lines:\n"
        "      first\n"
        "      last"
    )


def test_silence_is_told_too() -> None:
    assert diagnosis.describe(SICK, []).endswith("    it logged nothing")


def test_a_long_answer_of_a_probe_is_cut() -> None:
    talkative = replace(SICK, probes=(replace(BAD, output="x" * 1000),))
    assert max(map(len, diagnosis.describe(talkative, []).splitlines())) < 400


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"probes": ()}, "not checked yet"),
        ({"state": "exited", "exit_code": 3}, "exit code 3"),
        ({"restarts": 4}, "started again 4 times"),
        (
            {"state": "restarting", "exit_code": 3, "restarts": 4},
            "exit code 3, started again 4 times",
        ),
        (
            {"state": "exited", "exit_code": 137, "out_of_memory": True},
            "ended for want of memory: its limit is 768 MiB",
        ),
    ],
)
def test_the_reason_is_the_engines(changes: dict[str, Any], said: str) -> None:
    assert diagnosis.reason(replace(SICK, **changes)) == said
