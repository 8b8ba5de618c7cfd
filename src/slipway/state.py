"""Writing an environment's state while holding its lease."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slipway.commands import toolbox
from slipway.config import names
from slipway.errors import Refused, SlipwayError
from slipway.facts import state as state_facts
from slipway.run import run

# A dead release blocks nobody longer than this.
LEASE_SECONDS = 60
RENEW_SECONDS = 15
DENIED = 3


class LeaseLost(SlipwayError):
    """Another release took over while this one was cut off."""


@dataclass
class State:
    """The state volume under one held lease; every write carries the lease's fencing number."""

    container: str
    fence: int
    lost: threading.Event

    def journal(self, **entry: Any) -> None:
        """Note a step of the release under way."""
        self._write("journal", {"fence": self.fence, "entry": entry})

    def commit(self, **entry: Any) -> None:
        """Append the release's outcome to the ledger."""
        self._write("commit", {"fence": self.fence, "entry": entry})

    def keep(self, path: str, content: str) -> None:
        """Keep a rendered configuration."""
        self._write("put-file", {"fence": self.fence, "path": path, "content": content})

    def put_secrets(self, values: Mapping[str, str], *, replace: bool = False) -> list[str]:
        """Keep secrets; existing ones stay unless `replace`. Returns the names written."""
        written = self._write(
            "put-secrets", {"values": dict(values), "replace": replace, "fence": self.fence}
        )
        assert isinstance(written, list)
        return written

    def secrets(self, wanted: tuple[str, ...]) -> dict[str, str]:
        """The values of the named secrets, where they exist."""
        values = self._write("get-secrets", {"names": list(wanted)})
        assert isinstance(values, dict)
        return values

    def hand_out(self, consumers: Mapping[str, Any]) -> list[str]:
        """Write each consumer's files into its volume; returns what changed."""
        changed = self._write("hand-out", {"consumers": dict(consumers), "fence": self.fence})
        assert isinstance(changed, list)
        return changed

    def read(self) -> str:
        """The whole state as the toolbox prints it."""
        return call(self.container, "read", {})[1]

    def _write(self, verb: str, request: Mapping[str, Any]) -> Any:
        if self.lost.is_set():
            raise LeaseLost("The lease of this release was lost; nothing more was written")
        code, output = call(self.container, verb, request)
        answer = json.loads(output)
        if code == DENIED:
            self.lost.set()
            raise LeaseLost(f"The state refused a write: {answer['denied']}")
        return answer


@contextlib.contextmanager
def opened(environment: str, image: str, *, purpose: str) -> Iterator[State]:
    """Hold the lease of `environment`, with a toolbox container, until the block ends.

    Raises Refused, naming the holder, while somebody else holds the lease.
    """
    container = _start(environment, image)
    code, output = call(
        container,
        "acquire",
        {"holder": holder(), "purpose": purpose, "seconds": LEASE_SECONDS},
    )
    answer = json.loads(output)
    if code == DENIED:
        raise Refused(held(answer["lease"], answer["seconds_left"]))
    state = State(container, answer["fence"], threading.Event())
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(state, ended), daemon=True)
    renewing.start()
    try:
        yield state
    finally:
        ended.set()
        renewing.join()
        if not state.lost.is_set():
            call(container, "release", {"fence": state.fence})
            run(toolbox.remove(container), check=False, timeout=60)


def note(environment: str, image: str, **entry: Any) -> None:
    """Append a line about something beside any release to the ledger; it needs no lease.

    Raises CommandFailed when the toolbox could not write it.
    """
    request = json.dumps({"entry": {**entry, "holder": holder()}})
    run(toolbox.note(image, names.state_volume(environment)), input=request, timeout=60)


def holder() -> str:
    """Who releases, from where, and in which process."""
    return f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"


def held(lease: Mapping[str, Any], seconds_left: float) -> str:
    """The sentence for somebody who finds the lease taken."""
    since = datetime.fromtimestamp(lease["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"{lease['holder']} is busy with {lease['purpose']} since {since}. "
        f"If that process is gone, its lease ends in {seconds_left:.0f} s; then try again."
    )


def call(container: str, verb: str, request: Mapping[str, Any]) -> tuple[int, str]:
    """Run one verb in a held toolbox. Raises SlipwayError when the toolbox itself failed."""
    done = run(toolbox.call(container, verb), input=json.dumps(request), check=False, timeout=60)
    if done.exit_code not in {0, DENIED}:
        raise SlipwayError(f"The state volume could not be used ({verb}): {done.errors.strip()}")
    return done.exit_code, done.output


def _start(environment: str, image: str) -> str:
    """Start the toolbox of this release and return the container's id.

    Raises Refused while the toolbox of another release is there and its lease lasts.
    """
    name = names.toolbox_container(environment)
    volumes = {names.state_volume(environment): "/state"} | {
        volume: f"/secrets/{consumer}"
        for consumer, volume in names.secret_volumes(environment).items()
    }
    labels = {names.ENVIRONMENT_LABEL: environment}
    hold = toolbox.hold(image, name, volumes, labels, LEASE_SECONDS)
    started = run(hold, check=False, timeout=120)
    if started.exit_code != 0 and "is already in use" in started.errors:
        found = state_facts.read(image, names.state_volume(environment))
        if found.lease and found.lease["expires"] > found.now:
            raise Refused(held(found.lease, found.lease["expires"] - found.now))
        # Its release is dead, or just ended.
        run(toolbox.remove(name), check=False, timeout=60)
        started = run(hold, check=False, timeout=120)
    if started.exit_code != 0:
        raise SlipwayError(f"The toolbox could not be started: {started.errors.strip()}")
    return started.output.strip()


def _renew(state: State, ended: threading.Event) -> None:
    """Renew the lease until the end; a lease that could not be renewed in time is lost."""
    renewed = time.monotonic()
    while not ended.wait(RENEW_SECONDS):
        try:
            code, _ = call(
                state.container, "renew", {"fence": state.fence, "seconds": LEASE_SECONDS}
            )
        except SlipwayError:
            code = None
        if code == 0:
            renewed = time.monotonic()
        elif code == DENIED or time.monotonic() - renewed > LEASE_SECONDS:
            state.lost.set()
            return
