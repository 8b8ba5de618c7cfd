"""A release that ends after any of its steps is finished by the next one, and nobody notices.

The steps are those of the plan. After each one the releasing process gets SIGKILL, or loses its
connection to the engine, while all kinds of requests go on; whatever serves then, the next release
finishes it at once.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_line import engine_line
from mix import Rates, mixed
from site_copy import NAME, Site

from slipway.plans.release import PHASES, Kind
from slipway.report import Result

RATES = Rates(lists=15, searches=0.5, uploads=0.5)
MOST_SECONDS = 600.0
RELEASE = ("release", "--env", NAME)


@pytest.fixture
def changed(released: Site) -> Site:
    """The site, with a line of the backend that was never released."""
    path = released.root / "services/backend/src/slipway_backend/__init__.py"
    # Never the same twice: the registry keeps what an earlier run of the tests has built.
    path.write_text(path.read_text() + f"\nCHANGED = {uuid.uuid4().hex!r}\n")
    return released


def done(process: subprocess.Popen[str]) -> Iterator[tuple[Kind, set[Kind]]]:
    """Each step as soon as a release says how long it took, and all those of its plan."""
    assert process.stdout is not None
    planned: dict[str, Kind] = {}
    for line in process.stdout:
        print(line, end="")
        if step := re.match(r"  +\d+\. (\w+) +(.+?)(  .*)?$", line):
            kind = Kind(step[1])
            planned[PHASES[kind].format(subject=step[2])] = kind
        phase = line.partition(" .")[0]
        if phase in planned and line.endswith(" s\n"):
            yield planned[phase], set(planned.values())


def alone(site: Site) -> str:
    """The generation that serves, whole, and no other has a container any more."""
    status = site.status()
    assert {each["condition"] for each in status["containers"]} == {"healthy"}
    generations = {each["generation"] for each in status["containers"]}
    assert generations == {None, status["generation"]}
    return str(status["generation"])


def last_lines(site: Site) -> list[tuple[str, str]]:
    """Generation and result of the last two lines of the ledger, which nobody altered."""
    assert site.invoke("history.verify", "--env", NAME).exit_code == 0
    said = site.invoke("history", "--env", NAME, "--json", "--last", "2").text
    return [(str(line["generation"]), line["result"]) for line in json.loads(said)]


def test_one_that_is_killed_after_any_step_of_its_plan(
    changed: Site, figures: list[Result]
) -> None:
    """Every run goes on where the one before was killed, and is killed after its next step."""
    old = str(changed.status()["generation"])
    planned: set[Kind] = set()
    killed_after: list[Kind] = []
    with mixed(changed, RATES, MOST_SECONDS) as load:
        while True:
            with changed.start(*RELEASE) as process:
                new = None
                for kind, plan in done(process):
                    planned |= plan
                    if kind not in killed_after:
                        process.kill()
                        new = kind
                        break
            if new is None:
                break
            assert process.returncode == -signal.SIGKILL
            killed_after.append(new)
        assert process.returncode == 0
        new_generation = alone(changed)
        result = load.stop()
    figures.append(
        result.figure(f"a release is killed after each of its steps: {', '.join(killed_after)}")
    )
    # An interrupted release discards what it would have retired.
    assert set(killed_after) == planned - {Kind.RETIRE}
    assert {Kind.SWITCH, Kind.DISCARD} < planned
    assert load.losses() == []
    assert set(result.generations) == {old, new_generation}
    assert last_lines(changed) == [(old, "done"), (new_generation, "done")]


def test_one_that_loses_the_engine_after_its_switch(
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
    assert last_lines(changed)[-1] == (new, "done")
