"""What a release asks of a running member."""

from __future__ import annotations

import json
import subprocess  # nosec B404
import time
from typing import Any

from slipway_postgres import api
from slipway_postgres.errors import MemberError
from slipway_postgres.patroni import SHARED_FILE
from slipway_postgres.roles import statements
from slipway_postgres.settings import Settings

POLL_SECONDS = 0.25
# In which a replica takes the place that it was given.
TAKEN_SECONDS = 30


def status(settings: Settings) -> dict[str, Any]:
    """The cluster as this member sees it: members with role, state, timeline and lag; settings."""
    return {
        "member": settings.name,
        "cluster": api.read(settings, "/cluster"),
        "synchronous": bool(api.read(settings, "/config").get("synchronous_mode")),
    }


def settle(settings: Settings, seconds: float = 60) -> dict[str, Any]:
    """Have all members agree on what this image and environment say.

    Where that asks for a restart, a replica restarts at once; the primary is left to a switchover.
    """
    wanted = json.loads(SHARED_FILE.read_text(encoding="utf-8"))
    code, text = api.ask(settings, "PATCH", "/config", wanted)
    if code != 200:
        raise MemberError(f"the shared settings were not taken ({code}): {text.strip()}")
    # Patroni looks at new settings in its next round.
    time.sleep(POLL_SECONDS)
    own = api.read(settings, "/patroni")
    restarted = False
    if own.get("pending_restart") and own.get("role") == "replica":
        code, text = api.ask(
            settings, "POST", "/restart", {"restart_pending": True}, seconds=seconds
        )
        if code not in {200, 202, 503}:
            raise MemberError(f"{settings.name} did not restart ({code}): {text.strip()}")
        restarted = True
    return {"member": settings.name, "restarted": restarted}


def grant(settings: Settings) -> dict[str, Any]:
    """Apply roles, passwords and the extension's version; this member must be the primary."""
    done = subprocess.run(  # nosec B607
        ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--username=postgres"],
        input=statements(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        # What psql says names a line of its input, never the password in it.
        raise MemberError(f"the roles were not applied: {done.stderr.strip()}")
    return {"member": settings.name, "roles": "applied"}


def switchover(settings: Settings, target: str = "") -> dict[str, Any]:
    """Have a replica take over from the primary; Patroni picks one that has everything."""
    leader = _leader(settings)
    if not leader:
        raise MemberError("there is no primary to switch over from")
    wanted = {"leader": leader} | ({"candidate": target} if target else {})
    began = time.monotonic()
    code, text = api.ask(settings, "POST", "/switchover", wanted, seconds=60)
    if code != 200:
        raise MemberError(f"refused ({code}): {text.strip()}")
    # Patroni answers when the old primary gave its place away, which may be before it is taken.
    while (now := _leader(settings)) in {"", leader} and time.monotonic() < began + TAKEN_SECONDS:
        time.sleep(POLL_SECONDS)
    if now in {"", leader}:
        raise MemberError(f"{leader} gave its place away and nobody has taken it yet")
    return {"from": leader, "to": now, "seconds": round(time.monotonic() - began, 2)}


def _leader(settings: Settings) -> str:
    return next((each["name"] for each in _members(settings) if each["role"] == "leader"), "")


def _members(settings: Settings) -> list[dict[str, Any]]:
    return list(api.read(settings, "/cluster")["members"])
