"""The client of NGINX's internal endpoint."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway_edge.errors import EdgeError
from slipway_edge.maintenance import Maintenance
from slipway_edge.peers import Peers, Serving
from slipway_edge.unix import exchange


class Nginx:
    """NGINX behind the Unix socket at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def serving(self) -> Serving:
        """What NGINX serves now; raises EdgeError when it does not answer."""
        return self._peers("GET")

    def put(self, peers: Peers) -> Serving:
        """Make NGINX serve ``peers`` in all its workers; return what it confirms.

        Raises EdgeError when it does not answer, refuses, or confirms something else.
        """
        confirmed = self._peers(
            "PUT",
            {
                "generation": peers.generation,
                "ready": peers.ready,
                "addresses": list(peers.addresses),
            },
        )
        if confirmed.peers != peers:
            raise EdgeError(f"NGINX was given {peers} and confirmed {confirmed.peers}")
        return confirmed

    def put_candidate(self, generation: int, addresses: Sequence[str], pass_: str) -> None:
        """Let requests with ``pass_`` reach a generation; raises EdgeError when not confirmed."""
        wanted = {"generation": generation, "addresses": list(addresses)}
        asked = {**wanted, "ready": len(addresses), "pass": pass_}
        if self._ask("PUT", "/candidate", asked) != wanted:
            raise EdgeError("NGINX did not confirm the candidate")

    def figures(self) -> dict[str, object]:
        """Counters per generation since NGINX started; raises EdgeError when it does not answer."""
        return self._ask("GET", "/figures")

    def put_maintenance(self, state: Maintenance | None) -> None:
        """Let callers in, or not, from now on; raises EdgeError when that is not confirmed."""
        wanted = {"on": False} if state is None else state.document()
        if self._ask("PUT", "/maintenance", wanted) != wanted:
            raise EdgeError("NGINX did not confirm the maintenance state")

    def put_drain(self, *, on: bool) -> None:
        """Close every connection with its next answer, or keep it; EdgeError when not confirmed."""
        if self._ask("PUT", "/drain", {"on": on}) != {"on": on}:
            raise EdgeError("NGINX did not confirm whether it drains")

    def draining(self) -> bool:
        """Whether connections are closed with their next answer."""
        return self._ask("GET", "/drain") == {"on": True}

    def answers(self) -> bool:
        """Whether NGINX answers at all."""
        try:
            status, _ = exchange(self._path, "GET", "/alive")
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return status == 204

    def _peers(self, method: str, body: object = None) -> Serving:
        answer = self._ask(method, "/peers", body)
        in_flight = {
            int(generation): {str(address): int(count) for address, count in counts.items()}
            for generation, counts in answer["in_flight"].items()
        }
        peers = Peers(int(answer["generation"]), tuple(answer["addresses"]), int(answer["ready"]))
        return Serving(peers, in_flight)

    def _ask(self, method: str, target: str, body: object = None) -> dict[str, Any]:
        try:
            status, answer = exchange(self._path, method, target, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EdgeError(f"NGINX does not answer on {self._path}: {error}") from error
        if status != 200 or not isinstance(answer, dict):
            raise EdgeError(f"NGINX answered {method} {target} with {status}: {answer}")
        return answer
