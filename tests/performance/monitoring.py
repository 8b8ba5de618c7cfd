"""Measure what each level of monitoring costs; run by `nox -s performance -- monitoring`.

An environment of its own is released at each level in turn, round after round, and bears the same
load each time. Writes reports/monitoring-performance.json and its twin. The processor time of
those who serve, for each request, says more than the time of an answer, which the machine's other
work moves; both are in it. docs/reference/monitoring.md says what came of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from docker.models.containers import Container
from load_result import Result as Outcome
from mix import LIMITS, Rates, mixed
from site_copy import NAME, ROOT, Site

from slipway import report
from slipway.config.monitoring import SERVICES
from slipway.facts import git
from slipway.report import Result

LEVELS = ("none", "minimal", "standard", "full")
SERVING = ("backend", "worker", "edge", "door", "postgres")
#: After a release: caches are filled, and Prometheus has asked everybody.
SETTLE_SECONDS = 45.0
MIBI = 1 << 20
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
#: Samples kept for each one that is appended: what is asked of a scrape every second.
APPENDED = "sum(rate(prometheus_tsdb_head_samples_appended_total[2m]))"
#: Bytes of a sample in Prometheus's blocks: its own documentation says 1 to 2.
SAMPLE_BYTES = 2
DAY_SECONDS = 86400


@dataclass
class Measured:
    """What one level cost, a value for each round."""

    p95: list[float] = field(default_factory=list)
    serving: list[float] = field(default_factory=list)
    watching: list[float] = field(default_factory=list)
    resting: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """How hard and how long: requests a second, seconds."""

    rate: float
    seconds: float
    rest: float

    @property
    def rates(self) -> Rates:
        """The mixture: a search, which is what users wait for, on every fourth request."""
        return Rates(users=self.rate / 2, lists=self.rate / 4, searches=self.rate / 4, uploads=0.0)


class Environment:
    """The environment that is measured."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def release(self, level: str) -> None:
        """Release it at a level of monitoring."""
        self._site.set_environment(monitoring=level, ready_seconds=240)
        answer = self._site.invoke("release", "--env", NAME)
        assert answer.exit_code == 0, answer.text

    def containers(self, services: Sequence[str]) -> list[Container]:
        """The running containers of these services."""
        label = f"slipway.environment={NAME}"
        found = self._site.engine.containers.list(filters={"label": label})
        return [each for each in found if each.labels["com.docker.compose.service"] in services]

    def used(self, services: Sequence[str]) -> float:
        """Seconds of processor time that these services used since they started."""
        told = [each.stats(stream=False) for each in self.containers(services)]
        return sum(each["cpu_stats"]["cpu_usage"]["total_usage"] for each in told) / 1e9

    def both(self) -> tuple[float, float]:
        """Seconds of processor time that those who serve used, and those who watch."""
        return self.used(SERVING), self.used(SERVICES)

    def held(self, services: Sequence[str]) -> float:
        """Bytes that these services hold, but for what the kernel can drop."""
        told = [each.stats(stream=False)["memory_stats"] for each in self.containers(services)]
        dropped = ("total_inactive_file", "inactive_file")
        return sum(
            each["usage"] - next(each["stats"][name] for name in dropped if name in each["stats"])
            for each in told
        )

    def appended(self) -> float | None:
        """Samples that Prometheus takes in a second; None without one."""
        found = self.containers(["prometheus"])
        if not found:
            return None
        url = f"http://127.0.0.1:9090/api/v1/query?query={quote(APPENDED)}"
        done = found[0].exec_run(["python3", "-c", ASK, url])
        assert done.exit_code == 0, done.output
        return float(json.loads(done.output)["data"]["result"][0]["value"][1])


def say(text: str) -> None:
    """Show what is going on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.__stdout__, flush=True)


def main() -> int:
    """Measure every level in every round; 0 when every goal that was measured is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic", choices=("monitoring",))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=90.0, help="of load at each level")
    chosen = parser.parse_args()
    # However it is ended, the environment is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    load = Load(chosen.rate, chosen.seconds, rest=chosen.seconds / 2)
    measured = {level: Measured() for level in LEVELS}
    (ROOT / "reports").mkdir(exist_ok=True)
    with (
        (ROOT / "reports/monitoring-performance.log").open("w", buffering=1) as log,
        contextlib.redirect_stdout(log),
        tempfile.TemporaryDirectory(prefix="slipway-performance-") as scratch,
    ):
        site = Site(Path(scratch))
        site.services = LIMITS
        site.set_environment()
        try:
            assert site.invoke("down", "--env", NAME, "--volumes", "--yes").exit_code == 0
            for number in range(chosen.rounds):
                # Each level stands at each place of a round, so that none has the warm machine.
                for level in (*LEVELS[number:], *LEVELS[:number]):
                    say(f"round {number + 1} of {chosen.rounds}: {level}")
                    _measure(Environment(site), site, level, load, measured[level])
        finally:
            site.invoke("down", "--env", NAME, "--volumes", "--yes")
            results = list(_results(measured, load))
            engine = str(site.engine.version()["Version"])
            commit = git.read(ROOT).short
            path = report.write(
                ROOT / "reports", "monitoring-performance", results, commit=commit, engine=engine
            )
    print(path.with_suffix(".md").read_text())
    return 1 if any(result.ok is False for result in results) else 0


def _measure(
    environment: Environment, site: Site, level: str, load: Load, measured: Measured
) -> None:
    environment.release(level)
    time.sleep(SETTLE_SECONDS)
    began, before = time.monotonic(), environment.both()
    time.sleep(load.rest)
    after, seconds = environment.both(), time.monotonic() - began
    measured.idle.append((after[0] - before[0]) / seconds)
    if level != "none":
        measured.resting.append((after[1] - before[1]) / seconds)
    began, before = time.monotonic(), environment.both()
    with mixed(site, load.rates, load.seconds + 30) as under_way:
        time.sleep(load.seconds)
        outcome = under_way.stop()
    after = environment.both()
    assert outcome.lost == 0, outcome.failed
    measured.p95.append(_searching(outcome))
    measured.serving.append((after[0] - before[0]) / outcome.sent)
    if level != "none":
        measured.watching.append((after[1] - before[1]) / (time.monotonic() - began))
        measured.held.append(environment.held(SERVICES))
    samples = environment.appended()
    if samples is not None:
        measured.samples.append(samples)


def _searching(outcome: Outcome) -> float:
    times = sorted(each.seconds for each in outcome.samples if each.kind == "search")
    return times[int(0.95 * len(times))]


def _results(measured: dict[str, Measured], load: Load) -> list[Result]:
    found: list[Result] = []
    without = measured["none"]
    for level, each in measured.items():
        if not each.p95:
            found.append(Result(f"{level}: search p95", None, "ms", note="not reached"))
            continue
        rounds = f"median of {len(each.p95)} rounds of {load.seconds:g} s at {load.rate:g}/s"
        p95, cost = statistics.median(each.p95), statistics.median(each.serving)
        found.append(Result(f"{level}: search p95", round(p95 * 1000, 1), "ms", note=rounds))
        spread = f"{min(each.serving) * 1000:.2f} to {max(each.serving) * 1000:.2f}"
        title = f"{level}: processor time of those who serve"
        found.append(Result(title, round(cost * 1000, 2), "ms a request", note=spread))
        title = f"{level}: who serves, at rest"
        found.append(Result(title, round(statistics.median(each.idle), 4), "cores"))
        if level == "none":
            continue
        goal = "<= 1.03" if level == "full" else ""
        for name, here, there in (
            ("search p95", p95, statistics.median(without.p95)),
            ("processor time of those who serve", cost, statistics.median(without.serving)),
        ):
            title = f"{level}: {name} against none"
            found.append(Result(title, round(here / there, 3), "times", goal, "none"))
        found += _own(level, each)
    return found


def _own(level: str, each: Measured) -> list[Result]:
    """What those who watch cost themselves."""
    day = statistics.median(each.samples) * SAMPLE_BYTES * DAY_SECONDS / MIBI
    rest = statistics.median(each.resting)
    return [
        Result(f"{level}: who watches, at rest", round(rest, 3), "cores", "<= 0.1"),
        Result(
            f"{level}: who watches, under load", round(statistics.median(each.watching), 3), "cores"
        ),
        Result(
            f"{level}: who watches, resident",
            round(statistics.median(each.held) / MIBI),
            "MiB",
            "<= 1024",
        ),
        Result(f"{level}: disk", round(day, 1), "MiB a day", note="samples at 2 bytes each"),
    ]


if __name__ == "__main__":
    sys.exit(main())
