"""A release or rollback that ends after any of its steps is finished by the next, unnoticed.

The steps are those of the plan. After each one the releasing process gets SIGKILL, or loses its
connection to the engine, while all kinds of requests go on; whatever serves then, the next run
finishes it at once. The gate kills at the turning points and loses the engine; after each step of
whole plans: `nox -s exhaustive`.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_line import engine_line
from mix import Rates, mixed
from site_copy import NAME, Site

from slipway import state
from slipway.config import names
from slipway.facts import engine as engine_facts
from slipway.facts import state as state_facts
from slipway.plans.steps import PHASES, Kind
from slipway.report import Result

RATES = Rates(lists=15, searches=0.5, uploads=0.5)
MOST_SECONDS = 600.0
RELEASE = ("release", "--env", NAME)
ROLLBACK = ("rollback", "--env", NAME)
REGISTRY = "localhost:5000"
BACKEND = "services/backend/src/slipway_backend/__init__.py"
# Nothing but its time ends such a soak, however busy the machine is.
LENIENT = {"requests": 1_000_000, "failed_percent": 100, "slower": 1000, "restarts": 100}


@dataclass(frozen=True)
class Killed:
    """After which steps runs were killed, in order, and the steps of all their plans."""

    after: list[Kind]
    planned: set[Kind]


def change(site: Site) -> str:
    """Add a line to the backend that was never released; returns its file as it was."""
    path = site.root / BACKEND
    whole = path.read_text()
    # Never the same twice: the registry keeps what an earlier run of the tests has built.
    path.write_text(f"{whole}\nCHANGED = {uuid.uuid4().hex!r}\n")
    return whole


@pytest.fixture
def changed(released: Site) -> Site:
    """The site, with a line of the backend that was never released."""
    change(released)
    return released


@contextlib.contextmanager
def changes(site: Site, *, soak: int, **services: Any) -> Iterator[None]:
    """A line of the backend, settings of other services and a soak, until the block ends."""
    whole = change(site)
    site.services = services
    site.set_environment(soak={**LENIENT, "seconds": soak})
    try:
        yield
    finally:
        (site.root / BACKEND).write_text(whole)
        site.services = {}
        site.set_environment()


def done(process: subprocess.Popen[str]) -> Iterator[tuple[Kind, set[Kind]]]:
    """Each step as soon as a run says how long it took, and all those of its plan."""
    assert process.stdout is not None
    planned: dict[str, Kind] = {}
    phase = ""
    for line in process.stdout:
        print(line, end="")
        if step := re.match(r"  +\d+\. ([\w-]+) +(.+?)(  .*)?$", line):
            kind = Kind(step[1])
            planned[PHASES[kind].format(subject=step[2])] = kind
        # A warning may come between the phase and its seconds.
        began = line.partition(" .")[0]
        phase = began if began in planned else phase
        if phase in planned and re.search(r" \d+\.\d s$", line):
            yield planned[phase], set(planned.values())
            phase = ""


def killed(site: Site, words: tuple[str, ...], kinds: Collection[Kind] = tuple(Kind)) -> Killed:
    """Kill every run after its next step of these kinds, until one has none left and ends well.

    Each goes on where the one before was killed.
    """
    runs = Killed([], set())
    while True:
        with site.start(*words) as process:
            new = None
            for kind, plan in done(process):
                runs.planned.update(plan)
                if kind in kinds and kind not in runs.after:
                    process.kill()
                    new = kind
                    break
        if new is None:
            assert process.returncode == 0
            return runs
        assert process.returncode == -signal.SIGKILL
        runs.after.append(new)


def alone(site: Site) -> str:
    """The generation that serves, whole: no other has a container any more, nor has an edge."""
    status = site.status()
    assert {each["condition"] for each in status["containers"]} == {"healthy"}
    generations = {each["generation"] for each in status["containers"]}
    assert generations == {None, status["generation"]}
    services = [each["service"] for each in status["containers"]]
    assert sum(service in names.EDGES for service in services) == 1
    return str(status["generation"])


def last_lines(site: Site, number: int) -> list[tuple[str, str, str]]:
    """Kind, generation and result of so many last lines of the ledger, which nobody altered."""
    assert site.invoke("history.verify", "--env", NAME).exit_code == 0
    said = site.invoke("history", "--env", NAME, "--json", "--last", str(number)).text
    return [(line["kind"], str(line["generation"]), line["result"]) for line in json.loads(said)]


def unchanged(site: Site) -> bool:
    """Whether the next release finds nothing to do."""
    before = site.containers()
    answer = site.invoke(*RELEASE)
    assert answer.exit_code == 0, answer.text
    return "Nothing to do" in answer.text and site.containers() == before


@contextlib.contextmanager
def soaking(site: Site) -> Iterator[subprocess.Popen[str]]:
    """A release in its soak, which a rollback may end; it is gone when the block ends."""
    toolbox = engine_facts.toolbox(site.engine, REGISTRY)
    with site.start(*RELEASE) as process:
        try:
            while True:
                assert process.poll() is None, process.communicate()[0]
                lease = state_facts.read(toolbox, names.state_volume(NAME), history=1).lease
                if lease is not None and lease["purpose"].startswith(state.SOAK):
                    break
                time.sleep(0.5)
            yield process
        finally:
            process.kill()


def test_a_release_killed_at_its_turning_points(changed: Site, figures: list[Result]) -> None:
    """When the new one has started, when it serves, and when the old one is gone."""
    old = str(changed.status()["generation"])
    before = last_lines(changed, 1)
    with mixed(changed, RATES, MOST_SECONDS) as load:
        runs = killed(changed, RELEASE, {Kind.START, Kind.SWITCH, Kind.DISCARD})
        new = alone(changed)
        result = load.stop()
    figures.append(result.figure(f"a release is killed after: {', '.join(runs.after)}"))
    assert runs.after == [Kind.START, Kind.SWITCH, Kind.DISCARD]
    assert load.losses() == []
    assert set(result.generations) == {old, new}
    assert last_lines(changed, 2) == [*before, ("release", new, "done")]
    assert unchanged(changed)


@pytest.mark.exhaustive
def test_a_release_and_then_a_rollback_killed_after_any_step_of_their_plans(
    released: Site, figures: list[Result]
) -> None:
    """Of backend and edge at once, so that the plans have the steps of both."""
    old = str(released.status()["generation"])
    before = last_lines(released, 1)
    edge = {"environment": {"EDGE_CLIENT_SECONDS": "43"}}
    with changes(released, soak=1, edge=edge):
        with mixed(released, RATES, MOST_SECONDS) as load:
            runs = killed(released, RELEASE)
            new = alone(released)
            result = load.stop()
        figures.append(
            result.figure(f"a release is killed after each of its steps: {', '.join(runs.after)}")
        )
        assert {Kind.LEAVE, Kind.SWITCH, Kind.SOAK, Kind.DISCARD} < runs.planned
        # An interrupted release discards what it would have retired.
        assert set(runs.after) == runs.planned - {Kind.RETIRE}
        assert load.losses() == []
        assert set(result.generations) == {old, new}
        assert last_lines(released, 2) == [*before, ("release", new, "done")]
        assert unchanged(released)
        with mixed(released, RATES, MOST_SECONDS) as load:
            runs = killed(released, ROLLBACK)
            back = alone(released)
            result = load.stop()
    figures.append(
        result.figure(f"a rollback is killed after each of its steps: {', '.join(runs.after)}")
    )
    assert {Kind.LEAVE, Kind.START, Kind.SWITCH, Kind.DISCARD} < runs.planned
    assert set(runs.after) == runs.planned - {Kind.RETIRE}
    assert load.losses() == []
    assert set(result.generations) == {new, back}
    assert last_lines(released, 2) == [("release", new, "done"), ("rollback", back, "done")]
    assert unchanged(released)


@pytest.mark.exhaustive
def test_a_rollback_to_what_is_still_warm_killed_after_any_step_of_its_plan(
    released: Site, figures: list[Result]
) -> None:
    """It ends the soak of a release; killed before that, it may be done again all the same."""
    old = str(released.status()["generation"])
    before = last_lines(released, 1)
    with changes(released, soak=300), soaking(released) as ended:
        with mixed(released, RATES, MOST_SECONDS) as load:
            new = str(released.status()["generation"])
            runs = killed(released, ROLLBACK)
            assert alone(released) == old
            result = load.stop()
        said = ended.communicate()[0]
    figures.append(
        result.figure(f"a rollback to what is warm is killed after: {', '.join(runs.after)}")
    )
    assert ended.returncode == 1, said
    assert "Traceback" not in said
    assert {Kind.SWITCH, Kind.DISCARD} < runs.planned
    assert Kind.START not in runs.planned
    assert set(runs.after) == runs.planned - {Kind.RETIRE}
    assert load.losses() == []
    assert set(result.generations) == {old, new}
    assert last_lines(released, 2) == [*before, ("rollback", old, "done")]
    assert unchanged(released)


@pytest.mark.exhaustive
def test_a_release_killed_when_all_was_done_but_to_say_so(
    changed: Site, figures: list[Result]
) -> None:
    """Nobody knows whether it was proved, so the next one proves it and writes the ledger."""
    old = str(changed.status()["generation"])
    before = last_lines(changed, 1)
    with mixed(changed, RATES, MOST_SECONDS) as load:
        runs = killed(changed, RELEASE, {Kind.RETIRE})
        new = alone(changed)
        result = load.stop()
    figures.append(result.figure("a release is killed after it retired the generation before"))
    assert runs.after == [Kind.RETIRE]
    assert load.losses() == []
    assert set(result.generations) == {old, new}
    assert last_lines(changed, 2) == [*before, ("release", new, "done")]
    assert unchanged(changed)


def test_a_release_that_loses_the_engine_after_its_switch(
    changed: Site, figures: list[Result], tmp_path: Path
) -> None:
    """It cannot even go back; who asks is answered by the generation that was switched to."""
    old = str(changed.status()["generation"])
    with mixed(changed, RATES, MOST_SECONDS) as load:
        with (
            engine_line(tmp_path) as line,
            changed.start(*RELEASE, engine=line.address) as cut_off,
        ):
            assert any(kind is Kind.SWITCH for kind, _ in done(cut_off))
            line.cut()
            said = cut_off.communicate()[0]
        assert cut_off.returncode == 1, said
        assert "Traceback" not in said
        finished = changed.invoke(*RELEASE)
        assert finished.exit_code == 0, finished.text
        new = alone(changed)
        result = load.stop()
    figures.append(result.figure("a release loses its connection to the engine"))
    assert load.losses() == []
    assert set(result.generations) == {old, new}
    assert last_lines(changed, 1) == [("release", new, "done")]
