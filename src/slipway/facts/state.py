"""What the state volume of an environment says, read through the toolbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.commands import toolbox
from slipway.run import printed


@dataclass(frozen=True)
class StateFacts:
    """Ledger, lease, journal, and a fingerprint per secret; empty for a new environment.

    `handed` are the fingerprints that the consumers were given last; `certificate` is the edge's.
    `rendered` are the configurations that were released, by path; `head` is number and hash of
    the ledger's last line. A toolbox of an older release tells neither.
    """

    ledger: tuple[Mapping[str, Any], ...] = ()
    lease: Mapping[str, Any] | None = None
    journal: tuple[Mapping[str, Any], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    handed: Mapping[str, str] = field(default_factory=dict)
    certificate: str | None = None
    altered: int | None = None
    head: Mapping[str, Any] | None = None
    rendered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    now: float = 0.0

    @property
    def committed(self) -> Mapping[str, Any] | None:
        """The last line of the ledger that records a finished release."""
        return next((line for line in reversed(self.ledger) if line.get("result") == "done"), None)

    @property
    def committed_generation(self) -> int | None:
        """The generation of the last finished release."""
        return None if self.committed is None else int(self.committed["generation"])

    @property
    def migrating_release(self) -> str:
        """What the database remembers the next release's migration by.

        The same until a release is done, so that a contract waits until its expand is proved.
        """
        committed = self.committed
        return "first" if committed is None else f"after-g{committed['generation']}"

    @property
    def generations(self) -> tuple[int, ...]:
        """Every generation that the ledger mentions."""
        return tuple(int(line["generation"]) for line in self.ledger if "generation" in line)


def configuration(digest: str) -> str:
    """Where what a release was resolved to is kept, by the SHA-256 that its ledger line names."""
    return f"configurations/{digest}.json"


def read(image: str, volume: str, *, history: int | None = None) -> StateFacts:
    """Read the state in `volume` with one short-lived toolbox container.

    `history` is how many lines of the ledger are wanted at most, 0 for all of them.
    """
    request = {} if history is None else {"history": history}
    return parse(printed(toolbox.read(image, volume), input=json.dumps(request), timeout=120))


def files(image: str, volume: str, paths: Sequence[str]) -> dict[str, Any]:
    """Those rendered configurations of `paths` that the state in `volume` keeps, by path."""
    asked = json.dumps({"paths": list(paths)})
    answer = json.loads(printed(toolbox.read(image, volume, "get-files"), input=asked, timeout=120))
    assert isinstance(answer, dict)
    return answer


def parse(output: str) -> StateFacts:
    """The facts in what the toolbox printed."""
    answer = json.loads(output)
    return StateFacts(
        ledger=tuple(answer["ledger"]),
        lease=answer["lease"],
        journal=tuple(answer["journal"]),
        secrets=answer["secrets"],
        handed=answer["handed"],
        certificate=answer["certificate"],
        altered=answer["altered"],
        head=answer.get("head"),
        rendered=answer.get("rendered", {}),
        now=answer["now"],
    )
