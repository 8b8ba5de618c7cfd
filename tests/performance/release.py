"""Measure what releases cost their users; run by `nox -s performance -- release`.

An environment of its own is released, changed, broken, killed and rolled back under a mixed load,
and beside it, on the same images, two common ways of changing containers in place. Writes
reports/release-performance.json and its twin. docs/reference/performance-release.md says how.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from load_result import Result as Outcome
from mix import LIMITS, Mixed, Rates, mixed
from performance.release_peers import PEERS, Door
from performance.release_scenarios import SCENARIOS, Scenario, one_line_change
from site_copy import NAME, ROOT, Site, merged
from slow_model import slow_model

from slipway import report
from slipway.report import Result

READY_SECONDS = 240
BROKEN_OFF_SECONDS = 120
DRIVER = "on the cores that it measures"
# What the commands say is long: it goes to a file beside the report.
SHOWN = sys.stdout


@dataclass
class Run:
    """One run: the site, how long and how hard, and what was found so far."""

    site: Site
    rates: Rates
    #: Seconds of load before and after each scenario, for comparison.
    rest: float
    #: When nothing more is begun, in the time of `time.monotonic`.
    deadline: float
    results: list[Result] = field(default_factory=list)

    def in_time(self, name: str) -> bool:
        """Whether there is time to begin another part; says so in the report where there is not."""
        if time.monotonic() < self.deadline:
            return True
        self.add(name, None, "s", note="no time was left")
        return False

    def add(self, name: str, value: float | None, unit: str, **more: str) -> None:
        """Note one figure and show it."""
        rounded = None if value is None else float(f"{value:.4g}")
        result = Result(name, rounded, unit, **more)
        self.results.append(result)
        met = {True: "met", False: "NOT MET", None: ""}[result.ok]
        goal = f" (goal {result.goal}: {met})" if result.goal else ""
        print(f"  {name}: {rounded} {unit}{goal} {more.get('note', '')}", file=SHOWN, flush=True)


def say(text: str) -> None:
    """Show what is going on."""
    for stream in {SHOWN, sys.stdout}:
        print(f"[{time.strftime('%H:%M:%S')}] {text}", file=stream, flush=True)


def main() -> int:
    """Run everything that is asked for; 0 when every goal that was measured is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic", choices=("release",))
    parser.add_argument("--quick", action="store_true", help="fewer scenarios, shorter streams")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--only", action="append", choices=[*SCENARIOS, *PEERS])
    chosen = parser.parse_args()
    quick = {*(name for name, each in SCENARIOS.items() if each.quick), *PEERS}
    names = chosen.only or [*SCENARIOS, *PEERS]
    wanted = [name for name in names if not chosen.quick or chosen.only or name in quick]
    # However it is ended, the environment is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    minutes = 10 if chosen.quick else 28
    say(f"{', '.join(wanted)}: at most {minutes} minutes")
    # What has begun by then, and taking everything down, fit into the rest.
    deadline = time.monotonic() + (minutes - 3) * 60
    rates = _rates(chosen.rate, streams=0.25)
    folder = ROOT / "reports"
    folder.mkdir(exist_ok=True)
    with (
        (folder / "release-performance.log").open("w", buffering=1) as log,
        contextlib.redirect_stdout(log),
        tempfile.TemporaryDirectory(prefix="slipway-performance-") as scratch,
        slow_model((10, 20) if chosen.quick else (30, 60)) as model,
    ):
        site = Site(Path(scratch))
        site.services = merged(LIMITS, model)
        site.set_environment(ready_seconds=READY_SECONDS)
        run = Run(site, rates, rest=5.0 if chosen.quick else 15.0, deadline=deadline)
        try:
            _measure(run, wanted)
        finally:
            site.set_environment(ready_seconds=READY_SECONDS)
            site.invoke("down", "--env", NAME, "--volumes", "--yes")
            _write(run)
    return 1 if any(result.ok is False for result in run.results) else 0


def _rates(total: float, streams: float) -> Rates:
    searches, uploads = total / 50, total / 200
    return Rates(total / 2, total / 2 - searches - uploads, searches, uploads, streams)


def _measure(run: Run, wanted: Sequence[str]) -> None:
    site = run.site
    assert site.invoke("down", "--env", NAME, "--volumes", "--yes").exit_code == 0
    say("the first release")
    run.add("first release of an environment", _seconds(run, "release"), "s")
    run.add("release with nothing to do", _seconds(run, "release"), "s", note="no load")
    old = site.image("backend")
    one_line_change(site)
    run.add("release --plan of a one-line change", _seconds(run, "release", "--plan"), "s")
    done = []
    with mixed(site, run.rates, 1700.0) as load:
        for name in wanted:
            if name in SCENARIOS and run.in_time(name):
                _scenario(run, load, name, SCENARIOS[name])
                done.append(name)
        outcome = load.stop()
    for name in done:
        _add_losses(run, load, outcome, name)
    _add_whole(run, load, "slipway")
    new = site.image("backend")
    for name in wanted:
        if name in PEERS and run.in_time(name):
            _peer(run, name, old, new)


def _seconds(run: Run, *arguments: str) -> float:
    began = time.monotonic()
    answer = run.site.invoke(arguments[0], "--env", NAME, *arguments[1:])
    assert answer.exit_code == 0, answer.text
    return time.monotonic() - began


def _scenario(run: Run, load: Mixed, name: str, scenario: Scenario) -> None:
    say(name)
    load.load.phase(f"before {name}")
    time.sleep(run.rest)
    under_way = scenario.prepare(run.site) if scenario.prepare else None
    serving = str(run.site.status()["generation"])
    begun, well = load.load.phase(name), True
    try:
        command = scenario.act(run.site)
    except AssertionError as error:
        # The next scenario begins where this one ended, as the next release would have to.
        well = False
        command = f"ended otherwise than it should: {' '.join(str(error).split())[-400:]}"
        run.add(f"{name}: ended as it should", 0, "", goal="== 1", note=command)
    ended = load.load.phase(f"after {name}")
    time.sleep(run.rest)
    if under_way:
        under_way.communicate(timeout=BROKEN_OFF_SECONDS)
    run.add(f"{name}: the command", ended - begun, "s", note=command)
    if scenario.replaces and well:
        last = load.load.result.last_of(serving) or begun
        note = "from the command to the last request that the old generation answered"
        run.add(f"{name}: until 100 % new", last - begun, "s", note=note)


def _add_losses(run: Run, load: Mixed, outcome: Outcome, name: str, *, goal: str = "== 0") -> None:
    """What callers saw from the beginning of a scenario to the next one."""
    phases = (f"before {name}", name, f"after {name}")
    losses = [loss for loss in outcome.losses if loss.phase in phases]
    sent = sum(each.phase in phases for each in outcome.samples) + len(losses)
    times = " -> ".join(
        "/".join(
            f"{outcome.percentile(part, phase=phase) * 1000:.0f}" for part in (0.5, 0.95, 0.99)
        )
        for phase in phases
    )
    reasons = sorted({f"{loss.kind}: {loss.reason}" for loss in losses})
    seen = sorted({each.generation for each in outcome.samples if each.phase in phases})
    note = f"of {sent}; p50/p95/p99 ms before, during, after: {times}; generations {' '.join(seen)}"
    if reasons:
        note += f"; {'; '.join(reasons[:6])}"
    cut = sum(loss.kind == "stream" for loss in losses)
    streams = sum(each.kind == "stream" and each.phase in phases for each in outcome.samples)
    run.add(f"{name}: requests lost", len(losses) - cut, "requests", goal=goal, note=note)
    run.add(f"{name}: streams cut", cut, "streams", goal=goal, note=f"{streams} were whole")


def _add_whole(run: Run, load: Mixed, system: str) -> None:
    """What is true of a whole load: its writes, its rate, its own cost."""
    outcome, goal = load.result, "== 0" if system == "slipway" else ""
    accepted = f"of {len(load.uploads.accepted)} acknowledged"
    run.add(f"{system}: writes lost", len(load.lost_writes), "documents", goal=goal, note=accepted)
    run.add(f"{system}: writes doubled", len(load.doubled_writes), "documents", goal=goal)
    if system == "slipway":
        rate = outcome.sent / max(outcome.samples[-1].due, 1.0)
        run.add("load", rate, "requests/s", note="half kept, half fresh connections; open loop")
        share = outcome.cpu_seconds / outcome.seconds
        late = f"at worst {outcome.late_seconds * 1000:.0f} ms late; {DRIVER}"
        run.add("driver: processor time", share, "cores", note=late)
    text = "".join(json.dumps(dataclasses.asdict(loss)) + "\n" for loss in outcome.losses)
    file = f"release-losses-{system.replace(',', '').replace(' ', '-')}.jsonl"
    (ROOT / "reports" / file).write_text(text)


def _peer(run: Run, name: str, old: str, new: str) -> None:
    say(name)
    with Door(run.site, old) as door, mixed(run.site, run.rates, 600.0, url=door.url) as load:
        load.load.phase(f"before {name}")
        time.sleep(run.rest)
        begun = load.load.phase(name)
        PEERS[name](door, new)
        ended = load.load.phase(f"after {name}")
        time.sleep(run.rest)
        outcome = load.stop()
        run.add(f"{name}: the command", ended - begun, "s")
        _add_losses(run, load, outcome, name, goal="")
        _add_whole(run, load, name)


def _write(run: Run) -> None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    engine = str(run.site.engine.version()["Version"])
    folder, topic = ROOT / "reports", "release-performance"
    path = report.write(folder, topic, run.results, commit=done.stdout.strip(), engine=engine)
    print(path.with_suffix(".md").read_text(), file=SHOWN)


if __name__ == "__main__":
    sys.exit(main())
