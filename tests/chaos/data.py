"""Break a data tier part by part while writers keep count; run by `nox -s chaos -- data`.

Each round hurts one part of an environment of its own, waits until everything is whole again, and
compares what was acknowledged with what is there. Writes reports/chaos.json and its twin.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.backend_writer import BackendWriter
from chaos.data_faults import FAULTS, Fault
from chaos.data_lag import hold, lose
from site_copy import ROOT, Site
from tier_rig import DataTier, Ledger, eventually

from slipway import report
from slipway.facts import git
from slipway.report import Result

READY_SECONDS = 240
# What the commands say is long: it goes to a file beside the report.
SHOWN = sys.stdout


@dataclass
class Rounds:
    """What the rounds of one fault have shown."""

    gaps: list[float] = field(default_factory=list)
    backend_gaps: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    #: Rounds in which a member took writes after another one had taken them from it.
    two_writers: int = 0

    def results(self, name: str, goal: str) -> list[Result]:
        """The figures of one fault, as they go into the report."""
        if not self.gaps:
            return [Result(f"{name}: worst without writes", None, "s", goal, note="no time left")]
        back = f"until every member follows again, at worst {max(self.whole):.1f}"
        return [
            _worst(f"{name}: worst without writes", self.gaps, goal),
            _worst(f"{name}: worst without writes through a backend", self.backend_gaps, goal),
            Result(f"{name}: whole again", round(statistics.median(self.whole), 1), "s", note=back),
            Result(
                f"{name}: acknowledged, then lost",
                self.lost,
                "writes",
                "== 0",
                note=f"of {self.acknowledged}",
            ),
            Result(f"{name}: two members took writes", self.two_writers, "rounds", "== 0"),
        ]


def _worst(name: str, seconds: list[float], goal: str) -> Result:
    median = statistics.median(seconds)
    ninety_fifth = sorted(seconds)[max(0, round(0.95 * len(seconds)) - 1)]
    note = f"median {median:.2f}, p95 {ninety_fifth:.2f}, of {len(seconds)} rounds"
    return Result(name, round(max(seconds), 2), "s", goal, note=note)


def main() -> int:
    """Run everything that is asked for; 0 when every goal that was measured is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic", choices=("data",))
    parser.add_argument("--rounds", type=int, default=3, help="of each fault")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which none begins")
    parser.add_argument("--only", action="append", choices=[*FAULTS])
    chosen = parser.parse_args()
    # However it is ended, the environment is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    deadline = time.monotonic() + chosen.minutes * 60
    names = chosen.only or [*FAULTS]
    found = {name: Rounds() for name in names}
    folder = ROOT / "reports"
    folder.mkdir(exist_ok=True)
    with (
        (folder / "chaos-data.log").open("w", buffering=1) as log,
        contextlib.redirect_stdout(log),
        tempfile.TemporaryDirectory(prefix="slipway-chaos-") as scratch,
    ):
        site = Site(Path(scratch))
        tier = DataTier(site)
        asynchronous: list[Result] = []
        try:
            _say(f"{len(names)} faults, {chosen.rounds} rounds: the first release")
            tier.invoke("down", "--volumes", "--yes")
            _release(tier)
            for number in range(chosen.rounds):
                for name in names:
                    if time.monotonic() < deadline:
                        _round(tier, f"{name}, {number + 1} of {chosen.rounds}", name, found[name])
            if not chosen.only:
                _say("the same environment with asynchronous replicas")
                tier = DataTier(site, synchronous=False)
                _release(tier)
                for measure in (lose, hold):
                    asynchronous += measure(tier)
        finally:
            results = [*_results(found), *asynchronous]
            _write(site, results)
            tier.remove()
    return 1 if any(result.ok is False for result in results) else 0


def _release(tier: DataTier) -> None:
    answer = tier.invoke("release")
    assert answer.exit_code == 0, answer.text


def _round(tier: DataTier, title: str, name: str, rounds: Rounds) -> None:
    fault: Fault = FAULTS[name]
    before = tier.whole()["primary"]
    with Ledger(tier, pinned=True) as ledger, BackendWriter(tier) as user:
        began = time.monotonic()
        fault.hurt(tier, before)
        hurt = time.monotonic() - began
        after = tier.whole()["primary"]
        rounds.whole.append(time.monotonic() - began)
        ledger.wait_for_writes()
        gap, lost, takers = ledger.longest_gap(), ledger.lost(), ledger.takers()
        rounds.acknowledged += len(ledger.acknowledged())
        # Until it succeeds again, however long that takes: the gap is measured to its end.
        written = user.count()
        eventually(lambda: user.count() > written, "write through a backend")
        rounds.backend_gaps.append(user.longest_gap())
    rounds.gaps.append(gap)
    rounds.lost += len(lost)
    # One after the other, each once: whoever comes twice took writes that were not its to take.
    rounds.two_writers += len(takers) > len(set(takers))
    assert not fault.replaces or after != before, f"{title}: {before} still takes the writes"
    _say(
        f"{title}: {gap:.2f} s without writes, "
        f"{rounds.backend_gaps[-1]:.2f} s through a backend, "
        f"{len(lost)} lost, {' -> '.join(takers)}, "
        f"whole {rounds.whole[-1]:.1f} s after (the fault itself {hurt:.1f} s)"
    )


def _results(found: dict[str, Rounds]) -> Sequence[Result]:
    return [
        result
        for name, rounds in found.items()
        for result in rounds.results(name, FAULTS[name].goal)
    ]


def _write(site: Site, results: Sequence[Result]) -> None:
    engine = str(site.engine.version()["Version"])
    folder = ROOT / "reports"
    path = report.write(folder, "chaos", results, commit=git.read(ROOT).short, engine=engine)
    print(path.with_suffix(".md").read_text(), file=SHOWN)


def _say(text: str) -> None:
    for stream in {SHOWN, sys.stdout}:
        print(f"[{time.strftime('%H:%M:%S')}] {text}", file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())
