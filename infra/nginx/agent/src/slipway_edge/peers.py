"""The values the agent and NGINX exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Peers:
    """The addresses (``host:port``) that serve one generation, and how many of them are ready."""

    generation: int
    addresses: tuple[str, ...]
    ready: int


@dataclass(frozen=True)
class Serving:
    """What NGINX says it serves, and the requests in flight per generation and address."""

    peers: Peers
    in_flight: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    def of(self, generation: int) -> dict[str, int]:
        """Requests in flight per address of one generation."""
        return dict(self.in_flight.get(generation, {}))

    def of_others(self, generation: int) -> dict[str, int]:
        """Requests in flight per address of every other generation."""
        return _sum(counts for number, counts in self.in_flight.items() if number != generation)

    def per_address(self) -> dict[str, int]:
        """Requests in flight per address, whatever the generation.

        Idle addresses of generations that are gone are left out: the list would only grow.
        """
        return {
            address: count
            for address, count in _sum(self.in_flight.values()).items()
            if count or address in self.peers.addresses
        }

    def per_generation(self) -> dict[str, int]:
        """Requests in flight per generation, of every one that served since NGINX started."""
        return {str(number): sum(counts.values()) for number, counts in self.in_flight.items()}


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in parts:
        total.update(counts)
    return dict(total)
