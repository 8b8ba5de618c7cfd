"""Asking the edge of an environment: what it serves, and to switch."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from slipway import console
from slipway.commands import edge as commands
from slipway.config import names
from slipway.errors import SlipwayError
from slipway.facts.engine import Container, Running
from slipway.run import run

POLL_SECONDS = 0.5
# What the door says before the kernel's own words.
REFUSED = "the kernel refused the door's rules:"


class GenerationRefused(SlipwayError):
    """The edge did not take a generation; `answers` maps each address asked to what that said."""

    def __init__(self, message: str, answers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.answers = answers


def container(environment: str, engine: Running) -> str | None:
    """The id of the running edge that gets new connections, or None."""
    found = {
        name: each.id
        for name in names.EDGES
        if runs(each := named(environment, engine, name)) and each is not None
    }
    if len(found) < 2:
        return next(iter(found.values()), None)
    return found[serving(environment, engine) or names.EDGES[0]]


def named(environment: str, engine: Running, service: str) -> Container | None:
    """The container of one platform service, or None."""
    platform = engine.of(names.platform_project(environment))
    return next((each for each in platform if each.service == service), None)


def runs(container: Container | None) -> bool:
    """Whether there is such a container, and it runs."""
    return container is not None and container.state == "running"


def reachable(environment: str, engine: Running) -> bool:
    """Whether anything owns the published ports: a door, or an edge without one, that runs."""
    there = [named(environment, engine, name) for name in (names.DOOR, *names.EDGES)]
    return any(runs(each) and each is not None and each.published for each in there)


def serving(environment: str, engine: Running) -> str | None:
    """The name of the edge that the door sends new connections to; None without such a door."""
    door = named(environment, engine, names.DOOR)
    if door is None or door.state != "running":
        return None
    done = run(commands.door_status(door.id), check=False, timeout=30)
    if done.exit_code != 0:
        return None
    return _answer(done.output)["edge"] or names.EDGES[0]


def hand_over(door_id: str, name: str) -> None:
    """Send new connections to the edge `name`. Raises SlipwayError with the door's reason."""
    done = run(commands.door_switch(door_id, name), check=False, timeout=30)
    if done.exit_code != 0:
        try:
            reason = _answer(done.output)["refused"]
        except (SlipwayError, KeyError):
            reason = (done.errors or done.output).strip()
        raise SlipwayError(f"The door did not hand over to {name}: {reason}")


def refusal(
    environment: str, engine: Running, images: Mapping[str, str], build: Collection[str]
) -> str:
    """The kernel's words when it refuses the rules of a door; empty when it takes them.

    Also empty where that cannot be known yet: no image is there to try it with.
    """
    door = named(environment, engine, names.DOOR)
    if door is not None and door.serving:
        return ""
    there = [named(environment, engine, name) for name in (names.DOOR, *names.EDGES)]
    known = [each.image for each in there if each is not None]
    if "edge" not in build:
        known.append(images["edge"])
    for image in dict.fromkeys(known):
        done = run(commands.try_door(image), check=False, timeout=60)
        _, refused, words = done.errors.partition(REFUSED)
        if done.exit_code == 0 or refused:
            return words.strip().partition("\n")[0]
    return ""


def drain(container_id: str) -> int:
    """Let an edge close each connection with its next answer; how many are still open."""
    return int(_answer(run(commands.drain(container_id), timeout=30).output)["connections"])


def keep(container_id: str) -> None:
    """Let an edge keep its connections again, where it was told to drain.

    An edge of a version that cannot be told goes on closing them.
    """
    run(commands.keep(container_id), check=False, timeout=30)


def remove(container_id: str, seconds: int) -> None:
    """Stop an edge, which gets `seconds` to finish its requests, and remove its container."""
    run(commands.stop(container_id, seconds), timeout=seconds + 30)
    run(commands.remove(container_id), timeout=60)


def with_door(images: Mapping[str, str], environment: str, engine: Running) -> dict[str, str]:
    """The images, with the door's: the one it runs, because only a gap could change it."""
    door = named(environment, engine, names.DOOR)
    return {**images, names.DOOR: images["edge"] if door is None else door.image}


def keeping_door(
    resolved: Mapping[str, Any], environment: str, engine: Running
) -> Mapping[str, Any]:
    """What an earlier release kept, with the image of the door as it runs now."""
    door = named(environment, engine, names.DOOR)
    services = resolved["services"]
    if door is None or names.DOOR not in services:
        return resolved
    kept = {**services[names.DOOR], "image": door.image}
    return {**resolved, "services": {**services, names.DOOR: kept}}


def active(environment: str, engine: Running) -> int | None:
    """The generation that the edge serves; None without an edge, or with one that is broken."""
    found = container(environment, engine)
    try:
        return None if found is None else status(found)["generation"]
    except SlipwayError:
        return None


def status(container_id: str) -> dict[str, Any]:
    """What the edge serves: generation, addresses, requests in flight."""
    return _answer(run(commands.status(container_id), timeout=30).output)


def finish(container_id: str, addresses: Collection[str], seconds: float) -> None:
    """Wait until no request is in flight on `addresses`: counted, not guessed.

    Waits at most `seconds`, and says then what still is.
    """
    deadline = time.monotonic() + seconds
    while True:
        counts = status(container_id)["in_flight"]
        left = {address: counts[address] for address in addresses if counts.get(address)}
        if not left:
            return
        if time.monotonic() > deadline:
            console.warn(f"drain limit of {seconds} s reached; still in flight: {left}")
            return
        time.sleep(POLL_SECONDS)


def switch(container_id: str, generation: int) -> dict[str, Any]:
    """Switch all workers to `generation` and return the acknowledgement.

    Raises GenerationRefused with the edge's reason; the old generation then serves on.
    """
    return _taken(commands.switch(container_id, generation), f"switch to generation {generation}")


def offer(container_id: str, generation: int) -> dict[str, str]:
    """The headers with which a request reaches `generation` while another one serves.

    Good until that generation serves. Raises GenerationRefused with the edge's reason.
    """
    asked = commands.candidate(container_id, generation)
    return {commands.CANDIDATE_HEADER: _taken(asked, f"offer generation {generation}")["pass"]}


def _taken(command: commands.Argv, what: str) -> dict[str, Any]:
    """The edge's answer to a command about a generation. Raises GenerationRefused."""
    done = run(command, check=False, timeout=60)
    if done.exit_code != 0:
        try:
            answer = _answer(done.output)
            reason, answers = answer["refused"], answer.get("answers", {})
        except (SlipwayError, KeyError):
            reason, answers = (done.errors or done.output).strip(), {}
        raise GenerationRefused(f"The edge refused to {what}: {reason}", answers)
    return _answer(done.output)


def maintenance(container_id: str) -> dict[str, Any]:
    """Whether callers are turned away: "on", and then message, since and pass.

    An edge of a version that knows no maintenance lets them in.
    """
    done = run(commands.maintenance(container_id), check=False, timeout=30)
    return _answer(done.output) if done.exit_code == 0 else {"on": False}


def maintain(container_id: str, message: str | None) -> dict[str, Any]:
    """Turn callers away with `message`, or let them in again when it is None; the new state.

    Raises SlipwayError with the edge's reason; nothing has changed then.
    """
    done = run(commands.maintain(container_id, message), check=False, timeout=30)
    if done.exit_code == 0:
        return _answer(done.output)
    try:
        answer = _answer(done.output)
        reason = answer.get("refused") or answer.get("error")
    except SlipwayError:
        reason = done.errors.strip().rpartition("\n")[2]
    raise SlipwayError(f"The edge did not change its maintenance: {reason}")


def admission(container_id: str) -> dict[str, str]:
    """The headers with which a request is served also during maintenance."""
    state = maintenance(container_id)
    return {commands.ADMITTING_HEADER: state["pass"]} if state["on"] else {}


def _answer(output: str) -> dict[str, Any]:
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise SlipwayError(f"The edge answered what nobody understands: {output[:200]}") from error
    assert isinstance(answer, dict)
    return answer
