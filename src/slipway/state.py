"""Writing an environment's state while holding its lease."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from slipway import console, holders
from slipway.commands import toolbox
from slipway.config import names
from slipway.errors import Refused, SlipwayError
from slipway.facts import state as state_facts
from slipway.run import run

# A dead release blocks nobody longer than this.
LEASE_SECONDS = 60
RENEW_SECONDS = 15
POLL_SECONDS = 0.2
ATTEMPTS = 5
DENIED = 3
# The purpose of a lease that a rollback may take over begins so.
SOAK = "soak of release "


class LeaseLost(SlipwayError):
    """Another run took over while this one was cut off, or while it soaked."""


class _Gone(SlipwayError):
    """The toolbox through which the state was written is there no more."""


def _clock() -> float:
    """Seconds since the boot, those of a paused host too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class State:
    """The state volume under one held lease; every write carries the lease's fencing number.

    `yields` is true while a rollback may take the lease over; `confirmed` is when the lease was
    last known to be held, in seconds on the clock that goes on while a process is paused.
    """

    container: str
    fence: int
    lost: threading.Event
    reason: str = ""
    yields: bool = False
    confirmed: float = field(default_factory=_clock)

    def check(self) -> None:
        """Hold the lease at this moment: called before every command that changes the engine.

        For half of its time nobody else can have taken the lease; after that, and while it
        yields, the state is asked. Raises LeaseLost when another run has it, and SlipwayError
        when that cannot be known.
        """
        self._refuse_lost()
        if self.yields or _clock() - self.confirmed > LEASE_SECONDS / 2:
            self.renew()

    def renew(self, purpose: str | None = None) -> None:
        """Hold the lease for its whole time again. Raises as `check` does."""
        began = _clock()
        told = {} if purpose is None else {"purpose": purpose}
        self._write("renew", {"fence": self.fence, "seconds": LEASE_SECONDS, **told})
        self.confirmed = began

    def soak(self, version: str) -> None:
        """From now on a rollback may take the lease over."""
        self.renew(f"{SOAK}{version}")
        self.yields = True

    def end_soak(self, purpose: str) -> None:
        """Keep the lease to oneself again. Raises LeaseLost when it went in the meantime."""
        self.renew(purpose)
        self.yields = False

    def journal(self, **entry: Any) -> None:
        """Note a step of the release under way."""
        self._write("journal", {"fence": self.fence, "entry": entry})

    def commit(self, **entry: Any) -> None:
        """Append the release's outcome to the ledger."""
        self._write("commit", {"fence": self.fence, "entry": entry})

    def keep(self, path: str, content: str) -> None:
        """Keep a rendered configuration."""
        self._write("put-file", {"fence": self.fence, "path": path, "content": content})

    def files(self, paths: Sequence[str]) -> dict[str, Any]:
        """Those rendered configurations of `paths` that are kept, by path."""
        found = json.loads(call(self.container, "get-files", {"paths": list(paths)})[1])
        assert isinstance(found, dict)
        return found

    def forget(self, keep: Sequence[str]) -> list[str]:
        """Remove the rendered configurations but those at `keep`; returns what went."""
        gone = self._write("forget", {"fence": self.fence, "keep": list(keep)})
        assert isinstance(gone, list)
        return gone

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

    def take_back(self) -> list[str]:
        """Give each consumer what it had before this release; returns what changed."""
        changed = self._write("take-back", {"fence": self.fence})
        assert isinstance(changed, list)
        return changed

    def read(self, *, history: int | None = None) -> str:
        """The whole state as the toolbox prints it; `history` as in `slipway.facts.state.read`."""
        request = {} if history is None else {"history": history}
        return call(self.container, "read", request)[1]

    def _refuse_lost(self) -> None:
        if self.lost.is_set():
            raise LeaseLost(f"{self.reason}; nothing more was written or done")

    def _write(self, verb: str, request: Mapping[str, Any]) -> Any:
        self._refuse_lost()
        try:
            code, output = call(self.container, verb, request)
        except _Gone:
            self.lose("The toolbox of this run is gone: another run took over, or the engine ended")
        answer = json.loads(output)
        if code == DENIED:
            self.lose(f"The state refused a write: {answer['denied']}{_taker(answer)}")
        return answer

    def lose(self, reason: str) -> NoReturn:
        """Stop acting, for good. Always raises LeaseLost."""
        self.reason = reason
        self.lost.set()
        raise LeaseLost(f"{reason}; nothing more was written or done")


@contextlib.contextmanager
def opened(
    environment: str, image: str, *, purpose: str, ends_soak: bool = False
) -> Iterator[State]:
    """Hold the lease of `environment`, with a toolbox container, until the block ends.

    A lease whose holder was on this host and has ended is taken over at once; with `ends_soak`
    so is that of a release that soaks. Raises Refused, naming the holder, while somebody else
    holds the lease.
    """
    process = holders.process()
    container = _start(environment, image, ends_soak=ends_soak)
    try:
        taken = _acquire(container, purpose, process, ends_soak=ends_soak)
    except BaseException:
        run(toolbox.remove(container), check=False, timeout=60)
        raise
    state = State(container, taken["fence"], threading.Event())
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(state, ended), daemon=True)
    renewing.start()
    try:
        yield state
    finally:
        ended.set()
        renewing.join()
        # What failed is told by whoever used the state; a lease left over ends by itself.
        with contextlib.suppress(SlipwayError):
            call(container, "release", {"fence": state.fence})
        with contextlib.suppress(SlipwayError):
            run(toolbox.remove(container), check=False, timeout=60)


def note(environment: str, image: str, **entry: Any) -> None:
    """Append a line about something beside any release to the ledger; it needs no lease.

    Raises CommandFailed when the toolbox could not write it.
    """
    request = json.dumps({"entry": {**entry, "holder": holder()}})
    run(toolbox.note(image, names.state_volume(environment)), input=request, timeout=60)


def holder() -> str:
    """Who releases, from where, and in which process."""
    return holders.name()


def held(lease: Mapping[str, Any], seconds_left: float) -> str:
    """The sentence for somebody who finds the lease taken."""
    since = datetime.fromtimestamp(lease["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    said = f"{lease['holder']} is busy with {lease['purpose']} since {since}. "
    if lease["purpose"].startswith(SOAK):
        said += "Wait for the end of its soak, or end it with invoke rollback. "
    return said + (
        f"If that process is gone, its lease ends in {seconds_left:.0f} s (at once when you ask "
        "from its own host); then try again."
    )


def call(container: str, verb: str, request: Mapping[str, Any]) -> tuple[int, str]:
    """Run one verb in a held toolbox. Raises SlipwayError when the toolbox itself failed."""
    done = run(toolbox.call(container, verb), input=json.dumps(request), check=False, timeout=60)
    if done.exit_code not in {0, DENIED}:
        said = done.errors.strip()
        # The words of the engine, and of a container that ended between question and answer.
        gone = "No such container" in said or "is not running" in said
        raise (_Gone if gone else SlipwayError)(
            f"The state volume could not be used ({verb}): {said}"
        )
    return done.exit_code, done.output


def _acquire(
    container: str, purpose: str, process: Mapping[str, Any], *, ends_soak: bool
) -> dict[str, Any]:
    """The lease, taken over where that is allowed. Raises Refused where it is held."""
    request = {"holder": holder(), "purpose": purpose, "process": process, "seconds": LEASE_SECONDS}
    code, output = call(container, "acquire", request)
    answer = json.loads(output)
    if code == DENIED and _claimable(answer["lease"], ends_soak=ends_soak):
        console.say(_taking_over(answer["lease"]))
        code, output = call(container, "acquire", request | {"over": answer["lease"]["fence"]})
        answer = json.loads(output)
    if code == DENIED:
        raise Refused(held(answer["lease"], answer["seconds_left"]))
    assert isinstance(answer, dict)
    return answer


def _claimable(lease: Mapping[str, Any], *, ends_soak: bool) -> bool:
    process = lease.get("process")
    if holders.gone(process):
        holders.end_orphans(process or {})
        return True
    return ends_soak and lease["purpose"].startswith(SOAK)


def _taking_over(lease: Mapping[str, Any]) -> str:
    ended = "its process has ended" if holders.gone(lease.get("process")) else "its soak ends here"
    return f"taking over from {lease['holder']}, {lease['purpose']}: {ended}"


def _taker(answer: Mapping[str, Any]) -> str:
    lease = answer.get("lease")
    return f" ({lease['holder']}, {lease['purpose']})" if lease and "holder" in lease else ""


def _start(environment: str, image: str, *, ends_soak: bool) -> str:
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
    for _ in range(ATTEMPTS):
        if started.exit_code == 0 or "is already in use" not in started.errors:
            break
        # By its id: by its name it might be one that a third run has started since.
        other = run(toolbox.identify(name), check=False, timeout=60).output.strip()
        found = state_facts.read(image, names.state_volume(environment))
        lasts = found.lease is not None and found.lease["expires"] > found.now
        if found.lease and lasts and not _claimable(found.lease, ends_soak=ends_soak):
            raise Refused(held(found.lease, found.lease["expires"] - found.now))
        if other:
            run(toolbox.remove(other), check=False, timeout=60)
        time.sleep(POLL_SECONDS)
        started = run(hold, check=False, timeout=120)
    if started.exit_code != 0:
        raise SlipwayError(f"The toolbox could not be started: {started.errors.strip()}")
    return started.output.strip()


def _renew(state: State, ended: threading.Event) -> None:
    """Renew the lease until the end; a lease that could not be renewed in time is lost."""
    while not ended.wait(RENEW_SECONDS):
        try:
            state.renew()
        except LeaseLost:
            return
        except SlipwayError:
            if _clock() - state.confirmed > LEASE_SECONDS:
                with contextlib.suppress(LeaseLost):
                    state.lose("The lease could not be renewed in time")
                return
