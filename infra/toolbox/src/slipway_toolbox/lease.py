"""One release at a time: a lease that expires by itself, with a fencing number that only grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway_toolbox.store import Denied, canonical, locked, read_json, write


def acquire(
    state: Path,
    *,
    holder: str,
    purpose: str,
    seconds: float,
    now: float,
    process: dict[str, Any] | None = None,
    over: int | None = None,
) -> dict[str, Any]:
    """Take the lease for `seconds`; `now` is the engine's clock in seconds since the epoch.

    `process` says which process the holder is, for those on the same host. A lease that has not
    expired is taken only from the one who holds it with the fencing number `over`.

    Raises Denied, with the lease in its details, while somebody else holds it.
    """
    with locked(state):
        lease = read_json(state / "lease.json") or {"fence": 0, "expires": 0.0}
        if lease["expires"] > now and lease["fence"] != over:
            raise Denied("the lease is held", lease=lease, seconds_left=lease["expires"] - now)
        taken = {
            "fence": lease["fence"] + 1,
            "holder": holder,
            "purpose": purpose,
            "process": process,
            "since": now,
            "expires": now + seconds,
        }
        write(state / "lease.json", canonical(taken))
        return taken


def renew(
    state: Path, *, fence: int, seconds: float, now: float, purpose: str | None = None
) -> dict[str, Any]:
    """Hold the lease for `seconds` more, for another `purpose` when one is given.

    Raises Denied when it went to somebody else.
    """
    with locked(state):
        lease = {**check(state, fence=fence, now=now), "expires": now + seconds}
        if purpose is not None:
            lease["purpose"] = purpose
        write(state / "lease.json", canonical(lease))
        return lease


def release(state: Path, *, fence: int, now: float) -> dict[str, Any]:
    """Give the lease back. Giving back what another holds by now changes nothing."""
    with locked(state):
        lease = read_json(state / "lease.json") or {"fence": 0, "expires": 0.0}
        if lease["fence"] == fence:
            lease = {**lease, "expires": min(lease["expires"], now)}
            write(state / "lease.json", canonical(lease))
        return lease


def check(state: Path, *, fence: int, now: float) -> dict[str, Any]:
    """The lease, when it is still the one numbered `fence`; otherwise raises Denied."""
    lease = read_json(state / "lease.json")
    if lease is None or lease["fence"] != fence:
        raise Denied("the lease went to somebody else", lease=lease)
    if lease["expires"] <= now:
        raise Denied("the lease has expired", lease=lease)
    return lease
