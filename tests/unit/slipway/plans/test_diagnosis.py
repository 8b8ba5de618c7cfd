"""A fault is named by what is seen of it, and one block shows the evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import CommandFailed
from slipway.facts.engine import Container, Probe
from slipway.facts.symptoms import Symptoms
from slipway.plans import diagnosis
from slipway.plans.diagnosis import Cause, Code

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
    assert diagnosis.block(Symptoms(SICK, ("first", "last"))) == (
        "  slipway-dev-g2-backend-1 is unhealthy (running, but its health check fails)\n"
        "    probe at 2026-01-02T03:04:05: exit code 1: 503 starting\n"
        "    probe at 2026-01-02T03:04:05: exit code 1: 503 starting\n"
        "    last log lines:\n"
        "      first\n"
        "      last"
    )


def test_silence_is_told_too() -> None:
    assert diagnosis.block(Symptoms(SICK)).endswith("    it logged nothing")


def test_a_long_answer_of_a_probe_is_cut() -> None:
    talkative = replace(SICK, probes=(replace(BAD, output="x" * 1000),))
    assert max(map(len, diagnosis.block(Symptoms(talkative)).splitlines())) < 400


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
    assert diagnosis.reason(Symptoms(replace(SICK, **changes))) == said


ENDED = {"state": "restarting", "exit_code": 3, "restarts": 4}
SEEN: dict[str, tuple[dict[str, Any], dict[str, Any], Code]] = {
    "it ends by itself": (ENDED, {}, Code.CRASH_ON_START),
    "it ends well, again and again": (ENDED | {"exit_code": 0}, {}, Code.CRASH_ON_START),
    "its program is not there": (ENDED | {"exit_code": 127}, {}, Code.IMAGE_UNUSABLE),
    "its program is for another machine": (
        ENDED,
        {"log": ("exec /usr/bin/slipway-backend: exec format error",)},
        Code.IMAGE_UNUSABLE,
    ),
    "the engine could not start it": (
        {"state": "created", "exit_code": 128},
        {"error": 'exec: "serve": executable file not found in $PATH'},
        Code.IMAGE_UNUSABLE,
    ),
    "memory": (
        {"state": "exited", "exit_code": 137, "out_of_memory": True},
        {},
        Code.OUT_OF_MEMORY,
    ),
    "somebody stopped it": ({"state": "exited", "exit_code": 137}, {}, Code.STOPPED),
    "a secret is not there": (
        ENDED,
        {"log": ("slipway-backend: DATABASE_URL is not set: give the address",)},
        Code.SECRET_MISSING,
    ),
    "a secret is too short": (
        ENDED,
        {"log": ("slipway-backend: JWT_SECRET has 4 bytes but needs at least 32",)},
        Code.SECRET_MISSING,
    ),
    "the edge has no key": (
        ENDED,
        {"log": ("edge: /run/secrets/tls.key cannot be read by user 10002",)},
        Code.SECRET_MISSING,
    ),
    "the disk is full": (
        {},
        {"log": ("FATAL: could not write lock file: No space left on device",)},
        Code.DISK_FULL,
    ),
    "it listens elsewhere": ({}, {"listening": frozenset({9000})}, Code.WRONG_PORT),
    "it listens where it should": ({}, {"listening": frozenset({8000})}, Code.NEVER_READY),
    "a worker listens nowhere": (
        {"service": "worker"},
        {"listening": frozenset({9000})},
        Code.NEVER_READY,
    ),
    "it is still starting": (
        {"health": "starting"},
        {"listening": frozenset()},
        Code.SLOW_START,
    ),
    "it has no database": (
        {"health": "healthy"},
        {"answers": ("503 The database cannot be reached.",)},
        Code.DATABASE_GONE,
    ),
    "it waits for a database": (
        {"health": "starting"},
        {"log": ("error connecting in 'pool-1': failed to resolve host",)},
        Code.DATABASE_GONE,
    ),
    "it says no": ({"health": "healthy"}, {"answers": ("503 no model",)}, Code.NEVER_READY),
    "an old complaint is not the cause": (
        ENDED,
        {"log": ("DATABASE_URL is not set", *["working"] * diagnosis.LAST_WORDS)},
        Code.CRASH_ON_START,
    ),
}


@pytest.mark.parametrize(("changes", "seen", "code"), SEEN.values(), ids=SEEN)
def test_what_is_seen_of_a_container_names_its_fault(
    changes: dict[str, Any], seen: dict[str, Any], code: Code
) -> None:
    cause = diagnosis.of_container(Symptoms(replace(SICK, **changes), **seen), "dev")
    assert cause.code is code
    assert cause.sentence.startswith("slipway-dev-g2-backend-1: ")
    assert cause.next_command


SAID = {
    "Bind for 0.0.0.0:443 failed: port is already allocated": Code.PORT_TAKEN,
    "failed to register layer: write /x: no space left on device": Code.DISK_FULL,
    "Cannot connect to the Docker daemon at unix:///run/docker.sock.": Code.ENGINE_GONE,
    "manifest for localhost:5000/slipway/edge@sha256:00 not found": Code.IMAGE_UNUSABLE,
    'Get "http://localhost:5000/v2/": dial tcp [::1]:5000: connect: refused': Code.REGISTRY_GONE,
    "slipway-backend: A table stayed locked for 10s: nothing was changed": Code.MIGRATION_LOCKED,
}


@pytest.mark.parametrize(("line", "code"), SAID.items(), ids=SAID.values())
def test_the_last_line_of_a_command_names_its_fault(line: str, code: Code) -> None:
    cause = diagnosis.of_command(CommandFailed(("docker",), 1, ["pulling", line]), "dev")
    assert cause is not None
    assert cause.code is code
    assert cause.sentence.endswith(line)


def test_a_command_that_failed_for_a_reason_of_its_own_gets_no_name() -> None:
    assert diagnosis.of_command(CommandFailed(("docker",), 1, ["no such service"]), "dev") is None


def test_of_several_faults_the_one_that_says_most_is_told() -> None:
    causes = [Cause(code, "", "") for code in (Code.NEVER_READY, Code.OUT_OF_MEMORY)]
    assert diagnosis.first(causes) is causes[1]
    assert diagnosis.first([]) is None


def test_every_fault_is_explained_in_the_reference() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/faults.md").read_text()
    assert [code for code in Code if f"| `{code}` |" not in page] == []
    assert all(diagnosis.meaning(code) and diagnosis.next_command(code, "dev") for code in Code)
