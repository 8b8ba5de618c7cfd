"""The load that a site bears in tests: all kinds of requests at once, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from load import Load
from load_result import Result
from site_copy import Site
from traffic import ANSWERING, Uploads, listing, searching, streaming, wait_until_ready

#: What the product would answer with 429 or 503 to so many requests of one user and address.
LIMITS: dict[str, Any] = {
    "edge": {
        "environment": {
            "EDGE_REQUESTS_PER_SECOND": "2000",
            "EDGE_REQUEST_BURST": "2000",
            "EDGE_CONNECTIONS_PER_ADDRESS": "2000",
        }
    },
    "backend": {"environment": {"MAX_REQUESTS": "1000", "MAX_REQUESTS_PER_USER": "1000"}},
}


@dataclass(frozen=True)
class Rates:
    """Requests a second of each kind."""

    users: float = 0.0
    lists: float = 20.0
    searches: float = 1.0
    uploads: float = 0.5
    streams: float = 0.0


@dataclass
class Mixed:
    """A load of all kinds that is under way or over."""

    load: Load
    uploads: Uploads
    http: httpx.Client
    result: Result = field(default_factory=Result)
    lost_writes: list[str] = field(default_factory=list)
    doubled_writes: list[str] = field(default_factory=list)

    def stop(self) -> Result:
        """Stop, wait for all answers, and hold the writes to what was acknowledged."""
        self.result = self.load.stop()
        checked = self.uploads.check(self.http)
        self.lost_writes, self.doubled_writes = checked.lost, checked.doubled
        return self.result

    def losses(self) -> list[str]:
        """Everything lost or doubled, in words; empty when nothing was."""
        return [
            *(json.dumps(loss.__dict__) for loss in self.result.losses),
            *(f"write lost: {source}" for source in self.lost_writes),
            *(f"write doubled: {source}" for source in self.doubled_writes),
        ]


@contextmanager
def mixed(
    site: Site, rates: Rates, seconds: float, *, url: str = "", authority: Path | None = None
) -> Iterator[Mixed]:
    """A load on the site, or on another front door of the same database, while the block lasts."""
    # An edge that is left waits for a connection that nobody uses until its drain limit.
    with site.client(kept=0) as http:
        _seed(http)
        authorization = http.headers["authorization"]
        uploads = Uploads(authorization, rates.uploads)
        load = Load(
            f"{url or site.url}/v1/me",
            authority or site.authority,
            rates.users,
            seconds,
            headers={"authorization": authorization},
            beside=(
                listing(authorization, rates.lists),
                searching(authorization, rates.searches),
                uploads.traffic,
                streaming(authorization, rates.streams),
            ),
        )
        with load:
            made = Mixed(load, uploads, http)
            yield made
        uploads.forget(http)


def _seed(http: httpx.Client) -> None:
    """Upload the document that answers the streams' question."""
    answer = http.post(
        "/v1/documents",
        params={"source": "load/ferry.txt"},
        files={"file": ("ferry.txt", ANSWERING, "text/plain")},
    )
    assert answer.status_code in {200, 202}, answer.text
    wait_until_ready(http, answer.json()["id"])
