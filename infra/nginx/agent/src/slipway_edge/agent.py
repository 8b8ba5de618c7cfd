"""The agent: keeps NGINX's list of peers true, and switches generations."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from slipway_edge import connections, maintenance
from slipway_edge.errors import EdgeError, Refused
from slipway_edge.maintenance import Maintenance
from slipway_edge.nginx import Nginx
from slipway_edge.peers import Peers, Serving
from slipway_edge.probe import Answer, Probe, Resolve, resolve
from slipway_edge.store import Record, Store

ROUND_SECONDS = 1.0
SILENT_ROUNDS = 3
PASS_BYTES = 16

logger = logging.getLogger("slipway.edge")


def choose(answers: Iterable[Answer]) -> tuple[str, ...] | None:
    """Which addresses shall serve, given what each answered; None when all are silent.

    Ready ones alone where there are any. When none is ready, those that still answer stay: a
    draining backend still serves, and a backend whose database is gone explains that better
    than the edge can.
    """
    answers = tuple(answers)
    ready = tuple(answer.address for answer in answers if answer.ready)
    alive = tuple(answer.address for answer in answers if answer.alive)
    return ready or alive or None


class Agent:
    """Decides what NGINX serves. One round a second; ``switch`` may come from any thread."""

    def __init__(
        self,
        nginx: Nginx,
        store: Store,
        probe: Probe,
        prefix: str,
        port: int,
        maintenance_path: Path,
        resolve: Resolve = resolve,
    ) -> None:
        self._nginx = nginx
        self._store = store
        self._probe = probe
        self._prefix = prefix
        self._port = port
        self._resolve = resolve
        # Held while NGINX and the file are changed, never while somebody else is waited for.
        self._lock = threading.Lock()
        self._record = self._load()
        self._maintenance_path = maintenance_path
        self._maintenance: Maintenance | None = None
        # What the file says is told to NGINX in the first round.
        self._maintenance_told = False
        self._answers: tuple[Answer, ...] = ()
        self._silent_rounds = 0
        self._rounds = 0
        self._last_round = time.monotonic()
        self._resolve_error: str | None = None
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Do a round every second, and at once when asked, until ``stop``."""
        while not self._stopping:
            self._wake.clear()
            try:
                self.round()
            except EdgeError as error:
                logger.error("round_failed: %s", error)
            self._wake.wait(ROUND_SECONDS)

    def wake(self) -> None:
        """Do the next round now."""
        self._wake.set()

    def stop(self) -> None:
        """End ``run`` after the round in progress."""
        self._stopping = True
        self._wake.set()

    def round(self) -> None:
        """Look at the active generation once and give NGINX the list that follows.

        Raises EdgeError when NGINX or the disk does not take it; the next round tries again.
        """
        if not self._maintenance_told:
            with self._lock:
                self._tell_maintenance()
        record = self._record
        if record.generation == 0:
            self._finish_round(())
            return
        answers = self._probe.ask(self._addresses(record), record.generation)
        chosen = choose(answers)
        with self._lock:
            if self._record.generation != record.generation:
                return
            self._finish_round(answers)
            self._silent_rounds = 0 if chosen else self._silent_rounds + 1
            if chosen is None and self._silent_rounds < SILENT_ROUNDS:
                # One silent round may be the fault of this machine; NGINX still tries them all.
                chosen = self._record.addresses
            ready = sum(answer.ready for answer in answers)
            self._nginx.put(Peers(record.generation, chosen or (), ready))
            # An empty list is never the last good one.
            if chosen and chosen != self._record.addresses:
                logger.info("peers: generation %d: %s", record.generation, " ".join(chosen))
                self._record = replace(self._record, addresses=chosen)
                self._store.save(self._record)

    def switch(self, generation: int) -> dict[str, object]:
        """Make ``generation`` the one that serves; return the acknowledgement.

        Raises Refused, with the old generation still serving, when no backend of the new one
        is ready or when NGINX or the disk does not take the change.
        """
        answers = self._ask(generation)
        ready = tuple(answer.address for answer in answers if answer.ready)
        with self._lock:
            old = self._record
            previous = old.previous if old.generation == generation else old.generation or None
            record = Record(generation, ready, previous)
            try:
                # On disk before it serves: a crash in between comes back with the new one,
                # which is proved ready.
                self._store.save(record)
                serving = self._nginx.put(Peers(generation, ready, len(ready)))
            except EdgeError as error:
                self._go_back(old)
                raise self._refusal(generation, str(error)) from error
            self._record = record
            self._answers = answers
            self._silent_rounds = 0
        logger.info("switched: generation %d: %s", generation, " ".join(ready))
        return {
            "generation": generation,
            "previous": previous,
            "addresses": list(ready),
            "in_flight": {
                "old": serving.of_others(generation),
                "new": {address: serving.of(generation).get(address, 0) for address in ready},
            },
        }

    def offer(self, generation: int) -> dict[str, object]:
        """Let requests with a pass reach ``generation`` while another one serves; return the pass.

        The pass is good until the generation serves, or another one is offered. Raises Refused
        when no backend of the generation is ready, or when NGINX does not take it.
        """
        addresses = [answer.address for answer in self._ask(generation) if answer.ready]
        pass_ = secrets.token_hex(PASS_BYTES)
        try:
            self._nginx.put_candidate(generation, addresses, pass_)
        except EdgeError as error:
            raise self._refusal(generation, str(error)) from error
        logger.info("candidate: generation %d: %s", generation, " ".join(addresses))
        return {"generation": generation, "addresses": addresses, "pass": pass_}

    def maintain(self, message: str | None) -> Maintenance | None:
        """Turn callers away with ``message`` from now on; None lets them in again.

        Requests in flight finish. Raises EdgeError, with everything as it was, when NGINX or the
        disk does not take it; Refused when the message is too long.
        """
        with self._lock:
            before = self._maintenance
            state = None if message is None else maintenance.begin(message, before)
            try:
                # On disk before it counts: a crash in between comes back with what was asked for.
                maintenance.save(self._maintenance_path, state)
                self._nginx.put_maintenance(state)
            except EdgeError:
                with contextlib.suppress(EdgeError):
                    maintenance.save(self._maintenance_path, before)
                raise
            self._maintenance, self._maintenance_told = state, True
        logger.info("maintenance: %s", "off" if state is None else f"on: {state.message}")
        return state

    @property
    def maintenance(self) -> Maintenance | None:
        """What callers are turned away with; None while they are let in."""
        return self._maintenance

    def status(self) -> dict[str, object]:
        """What serves, what each address last said, and the requests in flight everywhere.

        Raises EdgeError when NGINX does not answer.
        """
        serving = self._nginx.serving()
        known = describe(serving, self._answers)
        record = self._record
        # A generation that never had a request is drained too, and must be found as such.
        drained = {str(number): 0 for number in (record.generation, record.previous) if number}
        return {
            **known,
            "in_flight_by_generation": {**drained, **serving.per_generation()},
            "previous": record.previous,
            "figures": self._nginx.figures(),
            "maintenance": shown(self._maintenance),
            "draining": self._nginx.draining(),
            "connections": connections.held(),
            "agent": {
                "running": True,
                "pid": os.getpid(),
                "rounds": self._rounds,
                "seconds_since_round": round(time.monotonic() - self._last_round, 1),
                "resolve_error": self._resolve_error,
            },
        }

    def _tell_maintenance(self) -> None:
        try:
            self._maintenance = maintenance.load(self._maintenance_path)
        except EdgeError as error:
            # NGINX goes on as it is.
            logger.error("maintenance_unreadable: %s", error)
            self._maintenance_told = True
            return
        try:
            self._nginx.put_maintenance(self._maintenance)
        except EdgeError as error:
            # It does not keep the round from its work; the next one tells again.
            logger.error("maintenance_untold: %s", error)
        else:
            self._maintenance_told = True

    def _load(self) -> Record:
        try:
            return self._store.load()
        except EdgeError as error:
            # NGINX goes on with what it has, and the next switch writes a new file.
            logger.error("state_unreadable: %s", error)
            return Record()

    def _ask(self, generation: int) -> tuple[Answer, ...]:
        """What the backends of a generation answer; raises Refused when none of them is ready."""
        name = f"{self._prefix}{generation}"
        try:
            addresses = self._resolve(name, self._port)
        except OSError as error:
            raise self._refusal(
                generation, f"the name {name} has no address ({error}); start its backends first"
            ) from error
        answers = self._probe.ask(addresses, generation)
        if not any(answer.ready for answer in answers):
            said = {answer.address: answer.said for answer in answers}
            shown = ", ".join(f"{address}: {words}" for address, words in said.items())
            raise self._refusal(
                generation, f"no backend of generation {generation} is ready ({shown})", said
            )
        return answers

    def _addresses(self, record: Record) -> tuple[str, ...]:
        name = f"{self._prefix}{record.generation}"
        try:
            found = self._resolve(name, self._port)
        except OSError as error:
            # A name server that is gone says nothing about the backends.
            self._resolve_error = f"{name}: {error}"
            return record.addresses
        self._resolve_error = None
        return found

    def _finish_round(self, answers: tuple[Answer, ...]) -> None:
        self._answers = answers
        self._rounds += 1
        self._last_round = time.monotonic()

    def _go_back(self, old: Record) -> None:
        for undo in (
            lambda: self._store.save(old),
            lambda: self._nginx.put(Peers(old.generation, old.addresses, len(old.addresses))),
        ):
            try:
                undo()
            except EdgeError as error:
                # The next round puts the old list again.
                logger.error("switch_undo_failed: %s", error)

    def _refusal(
        self, generation: int, reason: str, answers: Mapping[str, str] | None = None
    ) -> Refused:
        logger.warning("switch_refused: generation %d: %s", generation, reason)
        serving = self._record.generation or None
        return Refused(
            reason, {"requested": generation, "generation": serving, "answers": answers or {}}
        )


def shown(state: Maintenance | None) -> dict[str, object] | None:
    """Maintenance as the status tells it: without the pass."""
    return None if state is None else {"message": state.message, "since": state.since}


def describe(serving: Serving, answers: Iterable[Answer]) -> dict[str, object]:
    """The part of the status that NGINX knows, with what each address last said where known."""
    peers = serving.peers
    said = {answer.address: answer for answer in answers}
    counts = serving.of(peers.generation)
    return {
        "generation": peers.generation or None,
        "addresses": [
            {
                "address": address,
                "serving": address in peers.addresses,
                "ready": said[address].ready if address in said else None,
                "in_flight": counts.get(address, 0),
                "last_answer": said[address].said if address in said else None,
            }
            for address in sorted({*peers.addresses, *said})
        ],
        "in_flight": serving.per_address(),
        "in_flight_by_generation": serving.per_generation(),
    }
