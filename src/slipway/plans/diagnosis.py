"""From what is seen of a fault to its name, its sentence and the next command; nothing is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from slipway.errors import CommandFailed, SlipwayError, typed
from slipway.facts.engine import Container
from slipway.facts.state import StateFacts
from slipway.facts.symptoms import Symptoms

PROBES = 3
# 126: cannot be executed, 127: not found; of POSIX's shell, and of the engine after it.
_NOT_STARTABLE = frozenset({126, 127})
# What the backend's connection pool logs while it tries.
_NO_DATABASE = "error connecting in 'pool"
# 0, or ended by the signal that somebody who stops it sends: KILL 137, TERM 143.
_STOPPED = frozenset({0, 137, 143})
BACKEND_PORT = 8000


class Code(StrEnum):
    """The faults that have a name; docs/reference/faults.md explains each."""

    CRASH_ON_START = "crash-on-start"
    DATABASE_GONE = "database-gone"
    DISK_FULL = "disk-full"
    EDGE_GONE = "edge-gone"
    ENGINE_GONE = "engine-gone"
    HOST_GONE = "host-gone"
    IMAGE_UNUSABLE = "image-unusable"
    MIGRATION_FAILED = "migration-failed"
    MIGRATION_LOCKED = "migration-locked"
    NEVER_READY = "never-ready"
    OUT_OF_MEMORY = "out-of-memory"
    PORT_TAKEN = "port-taken"
    REGISTRY_GONE = "registry-gone"
    RELEASE_FAILED = "release-failed"
    RELEASE_UNFINISHED = "release-unfinished"
    SECRET_MISSING = "secret-missing"  # noqa: S105  # nosec B105
    SLOW_START = "slow-start"
    SOAK_FAILED = "soak-failed"
    STOPPED = "stopped"
    WRONG_PORT = "wrong-port"


@dataclass(frozen=True)
class Cause:
    """A named fault: what is wrong in one sentence, and what to type next."""

    code: Code
    sentence: str
    next_command: str
    details: str = ""

    def __str__(self) -> str:
        """The fault with all that is known of it."""
        lines = [f"{self.code}: {self.sentence}"]
        lines += [self.details] if self.details else []
        return "\n".join([*lines, f"  next: {typed(self.next_command)}"])


# What programs say, in the order in which it is believed: the first that is said names the fault.
_SAID: tuple[tuple[Code, str], ...] = (
    (Code.DISK_FULL, r"no space left on device|disk quota exceeded"),
    (Code.ENGINE_GONE, r"cannot connect to the docker daemon|is the docker daemon running"),
    (
        Code.PORT_TAKEN,
        r"port is already allocated|address already in use|ports are not available",
    ),
    (
        Code.MIGRATION_LOCKED,
        r"a table stayed locked for|another process has been migrating this database",
    ),
    (
        Code.IMAGE_UNUSABLE,
        r"manifest unknown|manifest for \S+ not found|exec format error"
        r"|executable file not found|no such file or directory: unknown"
        r"|\[fatal tini \(\d+\)\]|failed to register layer|verification failed|unexpected size"
        r"|does not match the specified platform|not found: manifest",
    ),
    (
        Code.REGISTRY_GONE,
        r"failed to resolve reference|/v2/\S*\W+(?:dial|read) tcp|server misbehaving"
        r"|failed to do request",
    ),
    (
        Code.SECRET_MISSING,
        r"(?:DATABASE_URL|\w*SECRET|\w*PASSWORD|\w*API_KEY) (?:is not set|has \d+ \w+ but needs)"
        r"|/run/secrets/\S+ (?:cannot be read|is missing|does not exist)",
    ),
)


def of_output(text: str) -> Code | None:
    """The fault that the output of a command or container names, if any."""
    return next((code for code, said in _SAID if re.search(said, text, re.IGNORECASE)), None)


def of_command(error: CommandFailed, environment: str) -> Cause | None:
    """Why a command of the engine failed, from its last lines."""
    said = "\n".join(error.last_lines)
    code = of_output(said)
    if code is None:
        return None
    last = error.last_lines[-1].strip() if error.last_lines else ""
    return Cause(code, f"{_MEANINGS[code]}: {last}", next_command(code, environment))


def of_error(error: SlipwayError, environment: str) -> Cause:
    """The cause that an error of a check names."""
    assert error.code, error
    code = Code(error.code)
    return Cause(code, error.message, error.next_command or next_command(code, environment))


def of_edge(status: Mapping[str, Any] | None, environment: str) -> Cause | None:
    """What is wrong with what the edge says of itself; None is an edge that does not answer."""
    if status is None:
        code, sentence = Code.EDGE_GONE, _MEANINGS[Code.EDGE_GONE]
        return Cause(code, sentence, next_command(code, environment))
    silent = [each for each in status["addresses"] if not each["ready"]]
    if not silent and status["addresses"]:
        return None
    answers = tuple(f"{each['address']}: {each.get('last_answer')}" for each in silent)
    code = _not_ready(answers)
    left = len(status["addresses"]) - len(silent)
    sentence = f"{left} of {len(status['addresses'])} backends of generation"
    sentence += f" {status['generation']} are ready"
    details = "\n".join(f"    the edge asked /health/ready: {answer}" for answer in answers)
    return Cause(code, sentence, next_command(code, environment, "backend"), details)


def of_state(state: StateFacts, environment: str) -> list[Cause]:
    """What the journal and the last line of the ledger tell of releases that did not end well."""
    causes = []
    held = state.lease is not None and state.lease["expires"] > state.now
    if state.journal and not held:
        last = state.journal[-1]
        code = Code.RELEASE_UNFINISHED
        sentence = f"{_MEANINGS[code]}: its last step was `{' '.join(last['step'].split())}`"
        causes.append(Cause(code, sentence, next_command(code, environment)))
    last_line = state.ledger[-1] if state.ledger else None
    if last_line is not None and last_line["result"] == "failed":
        known = last_line.get("code") or Code.RELEASE_FAILED
        sentence = f"the last release ({last_line['version']}) failed: {last_line['reason']}"
        causes.append(Cause(Code(known), sentence, next_command(Code(known), environment)))
    return causes


def of_container(symptoms: Symptoms, environment: str) -> Cause:
    """Why one container does not serve."""
    container = symptoms.container
    code = _code(symptoms)
    meaning = _MEANINGS[code]
    match code:
        case Code.OUT_OF_MEMORY:
            meaning = f"{meaning}: its limit is {container.memory_limit >> 20} MiB"
        case Code.WRONG_PORT:
            found = ", ".join(str(port) for port in sorted(symptoms.listening or ()))
            meaning = f"{meaning}: {BACKEND_PORT} is asked for, it listens on {found}"
        case Code.CRASH_ON_START:
            meaning = f"{meaning}: {reason(symptoms)}"
        case Code.SECRET_MISSING | Code.IMAGE_UNUSABLE | Code.DISK_FULL:
            meaning = f"{meaning}: {_said(symptoms, code)}"
    return Cause(
        code, f"{container.name}: {meaning}", next_command(code, environment, container.service)
    )


def _code(symptoms: Symptoms) -> Code:
    container = symptoms.container
    said = of_output("\n".join((symptoms.error, *symptoms.log[-LAST_WORDS:])))
    if container.out_of_memory:
        return Code.OUT_OF_MEMORY
    if container.state != "running" or container.restarts:
        return said or _ended(container)
    return Code.DISK_FULL if said is Code.DISK_FULL else _running(symptoms)


def _ended(container: Container) -> Code:
    if container.exit_code in _NOT_STARTABLE:
        return Code.IMAGE_UNUSABLE
    asked_to = container.exit_code in _STOPPED and not container.restarts
    return Code.STOPPED if asked_to else Code.CRASH_ON_START


def _running(symptoms: Symptoms) -> Code:
    ports, container = symptoms.listening, symptoms.container
    if container.service == "backend" and ports and BACKEND_PORT not in ports:
        return Code.WRONG_PORT
    if symptoms.answers:
        return _not_ready(symptoms.answers)
    if any(_NO_DATABASE in line for line in symptoms.log[-LAST_WORDS:]):
        return Code.DATABASE_GONE
    return Code.SLOW_START if container.health == "starting" else Code.NEVER_READY


def _not_ready(answers: Sequence[str]) -> Code:
    gone = any("database" in answer for answer in answers)
    return Code.DATABASE_GONE if gone else Code.NEVER_READY


def reason(symptoms: Symptoms) -> str:
    """The engine's account of how a container fares."""
    container = symptoms.container
    if container.out_of_memory:
        return f"ended for want of memory: its limit is {container.memory_limit >> 20} MiB"
    again = f"started again {container.restarts} times" if container.restarts else ""
    if container.state != "running":
        return ", ".join(filter(None, (f"exit code {container.exit_code}", again)))
    if again:
        # Seen in the moment between two ends: its exit code is not to be had then.
        return again
    if symptoms.answers:
        return "running, but not ready"
    return "running, but its health check fails" if container.probes else "not checked yet"


def block(symptoms: Symptoms) -> str:
    """Everything that is known of one container: state, probes, answers, last log lines."""
    container = symptoms.container
    lines = [f"  {container.name} is {container.condition} ({reason(symptoms)})"]
    if symptoms.error:
        lines.append(f"    the engine says: {symptoms.error}")
    lines += [
        f"    probe at {probe.time[:19]}: exit code {probe.exit_code}: {probe.output[:300]}"
        for probe in container.probes[-PROBES:]
        if probe.exit_code != 0
    ]
    lines += [f"    the edge asked /health/ready: {answer}" for answer in symptoms.answers]
    lines += ["    last log lines:" if symptoms.log else "    it logged nothing"]
    lines += [f"      {line}" for line in symptoms.log]
    return "\n".join(lines)


def first(causes: Sequence[Cause]) -> Cause | None:
    """The cause to name when several containers do not serve: the one that says most."""
    return min(causes, key=lambda cause: _VAGUE.index(cause.code) if cause.code in _VAGUE else -1,
               default=None)  # fmt: skip


def next_command(code: Code, environment: str, service: str = "") -> str:
    """What to type next when a fault has this name."""
    overlay = f"infra/compose/environments/{environment}.yaml"
    service_logs = f"invoke logs --env {environment}" + (f" --service {service}" if service else "")
    return {
        Code.DISK_FULL: "docker system df",
        Code.ENGINE_GONE: "invoke host.check",
        Code.EDGE_GONE: f"invoke logs --env {environment} --service edge",
        Code.IMAGE_UNUSABLE: "invoke build",
        Code.MIGRATION_FAILED: f"invoke logs --env {environment} --service postgres",
        Code.MIGRATION_LOCKED: f"invoke release --env {environment}",
        Code.OUT_OF_MEMORY: f"edit mem_limit in {overlay}",
        Code.PORT_TAKEN: "ss --listening --tcp --processes",
        Code.REGISTRY_GONE: "invoke host.prepare",
        Code.RELEASE_FAILED: f"invoke release --env {environment}",
        Code.RELEASE_UNFINISHED: f"invoke release --env {environment}",
        Code.SECRET_MISSING: f"invoke secrets.list --env {environment}",
        Code.SLOW_START: f"edit x-slipway/ready_seconds in {overlay}",
        Code.SOAK_FAILED: f"invoke logs --env {environment} --service backend",
        Code.STOPPED: f"invoke release --env {environment}",
        Code.DATABASE_GONE: f"invoke logs --env {environment} --service postgres",
        Code.WRONG_PORT: f"edit PORT of backend in {overlay}",
    }.get(code, service_logs)


# A container's last lines, not its history: an old complaint is not why it fails now.
LAST_WORDS = 15

# From what says least to what says more; whatever is not here names the fault itself.
_VAGUE = (Code.CRASH_ON_START, Code.DATABASE_GONE, Code.NEVER_READY, Code.SLOW_START, Code.STOPPED)

_MEANINGS = {
    Code.CRASH_ON_START: "the program ends by itself",
    Code.DATABASE_GONE: "runs, but the database does not answer it",
    Code.DISK_FULL: "no space is left on the disk",
    Code.EDGE_GONE: "the edge does not run or does not answer",
    Code.ENGINE_GONE: "the Docker engine does not answer",
    Code.HOST_GONE: "the host cannot be reached over SSH",
    Code.IMAGE_UNUSABLE: "the image cannot be fetched or started",
    Code.MIGRATION_FAILED: "the migration failed",
    Code.MIGRATION_LOCKED: "the migration waited in vain for a lock on the database",
    Code.NEVER_READY: "runs, but never got ready",
    Code.OUT_OF_MEMORY: "ended for want of memory",
    Code.PORT_TAKEN: "a port is taken by another program",
    Code.REGISTRY_GONE: "the registry does not answer",
    Code.RELEASE_FAILED: "the last release failed",
    Code.RELEASE_UNFINISHED: "a release was not finished",
    Code.SECRET_MISSING: "a secret is missing or too short",
    Code.SLOW_START: "had not started when the time was up",
    Code.SOAK_FAILED: "the new generation was worse than the soak allows",
    Code.STOPPED: "was stopped",
    Code.WRONG_PORT: "listens on another port than the edge asks",
}


def meaning(code: Code) -> str:
    """What a fault's name stands for, in a few words."""
    return _MEANINGS[code]


def _said(symptoms: Symptoms, code: Code) -> str:
    """The line in which the fault was named."""
    lines = (*symptoms.log[-LAST_WORDS:], symptoms.error)
    return next((line.strip()[:300] for line in lines if of_output(line) is code), "")
