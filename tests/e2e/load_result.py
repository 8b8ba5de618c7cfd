"""What came back from a load: counts, times by kind and phase, and every loss."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from slipway.report import Result as Figure


@dataclass(frozen=True)
class Sample:
    """One request: its kind, the phase it was sent in, when it was due, seconds until answered."""

    kind: str
    phase: str
    due: float
    seconds: float
    generation: str


@dataclass(frozen=True)
class Loss:
    """One lost request: the phase it was lost in, when it was due, seconds until it was lost, why,

    on what kind of connection, who answered, the connection's age and idle time when it was sent.
    """

    kind: str
    phase: str
    due: float
    seconds: float
    reason: str
    connection: str
    generation: str
    age: float
    idle: float


@dataclass
class Result:
    """Counts, reasons of failure, answers with their seconds, answering generations.

    `late_seconds` is the worst that the driver itself was behind, `cpu_seconds` its own processor
    time, `closed_idle` the kept connections that the server closed between two requests.
    """

    sent: int = 0
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    generations: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    late_seconds: float = 0.0
    closed_idle: int = 0

    def add(self, sample: Sample, reason: str) -> None:
        """Count one request; `reason` is why it is lost, empty when it is not."""
        self.sent += 1
        if reason:
            self.failed[reason] += 1
        else:
            self.ok += 1
            self.samples.append(sample)
        if sample.generation:
            self.generations[sample.generation] += 1

    @property
    def lost(self) -> int:
        """Requests without the expected answer."""
        return sum(self.failed.values())

    def lost_of(self, *kinds: str) -> int:
        """Lost requests of some kinds."""
        return sum(loss.kind in kinds for loss in self.losses)

    def figure(self, while_: str) -> Figure:
        """The lost requests as a line of a report."""
        note = f"of {self.sent} sent; p99 {self.percentile(0.99) * 1000:.0f} ms"
        return Figure(f"requests lost while {while_}", self.lost, "requests", "== 0", note=note)

    def percentile(self, part: float, *, phase: str | None = None, kind: str = "") -> float:
        """The latency in seconds that ``part`` (0 to 1) of the answers stayed under.

        Streams count only where `kind` asks for them: how long they take says nothing.
        """
        ordered = sorted(
            each.seconds
            for each in self.samples
            if phase in {None, each.phase}
            and (each.kind == kind if kind else each.kind != "stream")
        )
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def last_of(self, generation: str) -> float | None:
        """When the last request that this generation answered was due."""
        return max(
            (each.due for each in self.samples if each.generation == generation), default=None
        )

    def summary(self) -> dict[str, Any]:
        """The figures of a report."""
        phases = sorted({each.phase for each in self.samples})
        return {
            "sent": self.sent,
            "ok": self.ok,
            "lost": self.lost,
            "reasons": dict(self.failed),
            "per_second": round(self.sent / self.seconds, 1) if self.seconds else 0.0,
            "milliseconds": {phase or "all": self._percentiles(phase) for phase in phases},
            "generations": dict(self.generations),
            "closed_idle": self.closed_idle,
            "driver_cpu": round(self.cpu_seconds / self.seconds, 3) if self.seconds else 0.0,
            "driver_late_ms": round(self.late_seconds * 1000, 1),
            "losses": [asdict(loss) for loss in self.losses],
        }

    def _percentiles(self, phase: str) -> dict[str, float]:
        return {
            f"p{part}": round(self.percentile(part / 100, phase=phase) * 1000, 1)
            for part in (50, 95, 99)
        }
